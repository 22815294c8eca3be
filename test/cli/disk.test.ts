import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../formats/support.ts';
import { type Ended, MAIN, spinquant } from './spinquant.ts';

const DEMO = fileURLToPath(new URL('../../examples/demo', import.meta.url));

/** Every fault of the disk is one message, exit code 1, without a stack. */
function assertFault({ code, stderr }: Ended, message: RegExp): void {
  assert.match(stderr, message);
  assert.doesNotMatch(stderr, /This is a bug|^\s+at /m);
  assert.equal(code, 1, stderr);
}

test('what cannot be written is said before the work', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  const quick = join(DEMO, 'quick.spinquant.json');
  const inspect = (out: string) => spinquant(['inspect', quick, '--out', out], folder);
  assertFault(await inspect('no/out.json'), /no\/out\.json cannot be written: there is no such folder/);
  assertFault(await inspect('file/out.json'), /is a file, not a folder/);
  assertFault(await inspect('.'), /cannot be written: it is a folder/);
  assertFault(await inspect('n'.repeat(300)), /the name is too long/);
});

test('runs that cannot be written are a fault with the path', async (t) => {
  const folder = temporaryFolder(t);
  cpSync(DEMO, folder, { recursive: true });
  writeFileSync(join(folder, 'file'), '');
  const experiment = readFileSync(join(folder, 'quick.spinquant.json'), 'utf8');
  const elsewhere = experiment.replace('"model"', '"runs": "file/runs", "model"');
  writeFileSync(join(folder, 'a.spinquant.json'), elsewhere);
  assertFault(
    await spinquant(['optimize', 'a.spinquant.json'], folder),
    /file\/runs cannot be written: a part of its path is a file/,
  );
});

test('files in the wrong place: every command says what they are', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'model.gguf'), 'GGUF\x03\0\0\0');
  writeFileSync(join(folder, 'story.txt'), 'once upon a time');
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n';
  writeFileSync(join(folder, 'pointer.bin'), pointer);
  mkdirSync(join(folder, 'empty'));
  const cases: [string[], RegExp][] = [
    [['optimize', 'model.gguf'], /model\.gguf is a GGUF file; an experiment file .* spinquant import/s],
    [['evaluate', 'pointer.bin'], /is a Git LFS pointer.*git lfs pull/s],
    [['inspect', 'model.gguf'], /is a GGUF file.*spinquant import/s],
    [['import', 'story.txt', 'out'], /story\.txt is a text; a GGUF file or a llama2\.c checkpoint/],
    [['import', 'pointer.bin', 'out'], /is a Git LFS pointer/],
    [['import', 'empty', 'out'], /is a folder/],
    [['import', 'no.gguf', 'out'], /no\.gguf cannot be read: it does not exist/],
    [['runs', 'model.gguf'], /is a GGUF file/],
    [['export', 'model.gguf', '--out', 'r.safetensors'], /model\.gguf.*(folder|file)/],
    [['optimize', 'empty'], /empty is a folder; an experiment file/],
  ];
  for (const [args, message] of cases) assertFault(await spinquant(args, folder), message);
});

test('a full disk behind stdout is a fault', { skip: process.platform !== 'linux' }, async () => {
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [...MAIN, 'schema'], {
    stdio: ['ignore', full, 'pipe'],
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  closeSync(full);
  assertFault(
    { code, signal: null, stdout: '', stderr },
    /Standard output cannot be written: the disk is full/,
  );
});

test('a reader that goes is a fault, not a crash', async () => {
  const ended = await spinquant(['schema'], undefined, (child) => child.stdout?.destroy());
  assertFault(ended, /Standard output cannot be written: its reader has gone/);
});

test('names with escape sequences do not act in the terminal', async (t) => {
  const folder = temporaryFolder(t);
  cpSync(DEMO, folder, { recursive: true });
  const model = join(folder, 'model', 'model.safetensors');
  const bytes = readFileSync(model);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, object>;
  // Its range is beyond the file, so that the tensor is named.
  const fresh = { ...header, '\u001b[31mred': { dtype: 'F32', shape: [1], data_offsets: [1e9, 1e9 + 4] } };
  const text = Buffer.from(JSON.stringify(fresh));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  rmSync(model);
  writeFileSync(model, Buffer.concat([size, text, bytes.subarray(8 + length)]));
  const { stderr } = await spinquant(['inspect', 'model'], folder);
  assert.match(stderr, /tensor \\u\{1b\}\[31mred/);
  assert.ok(!stderr.includes('\u001b[31mred'));
});
