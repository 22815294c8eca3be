import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, constants, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { experimentJsonSchema } from '../../src/config/index.ts';

const run = promisify(execFile);
const BUILD = fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url));

test('the bundle runs alone: packages that it holds, commands in their chunks', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-bundle-'));
  t.after(() => rm(folder, { recursive: true }));
  await run(process.execPath, [BUILD, folder]);
  const cli = join(folder, 'cli.js');
  await access(cli, constants.X_OK);
  const { stdout } = await run(process.execPath, [cli, 'schema']);
  assert.deepEqual(JSON.parse(stdout), experimentJsonSchema());
  // Parsing (jsonc-parser, zod) and its faults, from the bundle.
  await assert.rejects(
    run(process.execPath, [cli, 'optimize', BUILD]),
    (error: { code: number; stderr: string }) => {
      assert.equal(error.code, 1);
      assert.match(error.stderr, /build\.mjs:1:1: this is not JSON|build\.mjs has \d+ faults/);
      return true;
    },
  );
});
