/** A job that is killed at any moment goes on to the bits of one that was left alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { crash } from './campaign.ts';
import { crashMatrix } from './matrix.ts';
import { MATRIX_FILE, makeWorkspace } from './workspace.ts';

const KILLS = 4;

test('SIGKILL at random moments of learning, rounding and evaluating changes no bit', {
  skip: process.platform === 'win32' && 'Windows has no SIGKILL',
}, async (t) => {
  const struck = await crash(KILLS, 3, (line) => t.diagnostic(line));
  assert.ok(struck >= KILLS);
});

test('a table that was killed again and again is that of one left alone', {
  skip: process.platform === 'win32' && 'Windows has no SIGKILL',
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-matrix-'));
  try {
    await makeWorkspace(folder);
    const file = join(folder, MATRIX_FILE);
    const { kills, cells } = await crashMatrix(file, 2, 5, (line) => t.diagnostic(line));
    assert.ok(kills > 0);
    assert.equal(cells, 22);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
