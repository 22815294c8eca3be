import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAIN } from '../cli/spinquant.ts';
import { startHub } from './server.ts';

const WEIGHTS = randomBytes(400_000);
const KNOWN = 150_000;

function start(): ChildProcess {
  return spawn(process.execPath, [...MAIN, 'download', 'org/tiny'], { stdio: 'pipe' });
}

/** The size of the partial file, once it has the bytes that were sent. */
async function partial(folder: string): Promise<string> {
  for (;;) {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const name = names.find((one) => one.endsWith('.incomplete') && !one.includes('.lock'));
    if (name !== undefined && readFileSync(join(folder, name)).length === KNOWN) return name;
    await sleep(20);
  }
}

test('a download that was killed goes on at the byte where it was', { timeout: 240_000 }, async (t) => {
  const hub = await startHub(t, [
    {
      name: 'models/org/tiny',
      commit: 'd'.repeat(40),
      files: {
        'config.json': Buffer.from('{}'),
        'tokenizer.json': Buffer.from('{}'),
        'model.safetensors': WEIGHTS,
      },
    },
  ]);
  hub.fault = (path) => (path.endsWith('.safetensors') ? { silentAfter: KNOWN } : null);
  const killed = start();
  await partial(hub.home);
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  hub.fault = () => null;
  hub.requests.length = 0;
  const again = start();
  let said = '';
  again.stdout?.on('data', (text) => {
    said += String(text);
  });
  const [code] = await once(again, 'exit');
  assert.equal(code, 0);
  const asked = hub.requests.filter((line) => line.endsWith('-') || line.includes('safetensors'));
  assert.deepEqual(asked, [`GET /org/tiny/resolve/${'d'.repeat(40)}/model.safetensors bytes=${KNOWN}-`]);
  assert.deepEqual(readFileSync(join(said.trim(), 'model.safetensors')), WEIGHTS);
});
