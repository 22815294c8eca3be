import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { experimentJsonSchema, resolveExperiment } from '../../src/config/index.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTorchTensors } from '../../src/formats/torch-zip.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { createRun } from '../../src/runs/index.ts';
import { spinquant } from './spinquant.ts';

const GOLDEN = fileURLToPath(new URL('../goldens/models/llama', import.meta.url));
const LETTERS = {
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: {
    type: 'BPE',
    vocab: Object.fromEntries([...' abcdefghijklmnopqrstuvwxyz'].map((letter, id) => [letter, id])),
    merges: [],
  },
};

async function workspace(t: { after(fn: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-cli-'));
  t.after(() => rm(folder, { recursive: true }));
  await cp(GOLDEN, join(folder, 'model'), { recursive: true });
  await writeFile(join(folder, 'model', 'tokenizer.json'), JSON.stringify(LETTERS));
  await writeFile(join(folder, 'text.txt'), 'once upon a time');
  return folder;
}

/** An experiment of that folder without a fault, and what a case changes in it. */
function experiment(settings: object = {}): string {
  const calibration = { text: 'text.txt', sequenceLength: 4 };
  return JSON.stringify({ model: 'model', calibration, ...settings });
}

test('help and version are answers, not faults', async () => {
  const help = await spinquant(['--help']);
  assert.equal(help.code, 0);
  for (const name of [
    'optimize',
    'evaluate',
    'inspect',
    'import',
    'download',
    'export',
    'generate',
    'bench',
    'runs',
    'doctor',
    'schema',
    'demo',
  ])
    assert.match(help.stdout, new RegExp(`^  ${name}\\b`, 'm'));
  const version = await spinquant(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

test('a wrong command line is a fault with the right name', async () => {
  const command = await spinquant(['optimise', 'x']);
  assert.equal(command.code, 1);
  assert.match(command.stderr, /Did you mean optimize/);
  const option = await spinquant(['optimize', 'x', '--seed', '-1']);
  assert.equal(option.code, 1);
  assert.match(option.stderr, /whole number from 0/);
  assert.equal(option.stdout, '');
});

test('schema prints the JSON schema', async () => {
  const { code, stdout } = await spinquant(['schema']);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), experimentJsonSchema());
});

test('faults of an experiment: every one with its line, exit code 1, no stack', async (t) => {
  const folder = await workspace(t);
  await writeFile(
    join(folder, 'x.spinquant.json'),
    '{\n "model": "model",\n "device": "gpu",\n "sead": 1\n}',
  );
  const { code, stdout, stderr } = await spinquant(['optimize', 'x.spinquant.json'], folder);
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /x\.spinquant\.json:3:12: device is "gpu"; allowed: "auto", "cpu", "webgpu" or "cuda"\./,
  );
  assert.match(stderr, /x\.spinquant\.json:4:2: sead is not a key/);
  assert.doesNotMatch(stderr, /\n\s+at /);
});

test('faults of keys, values, files and of settings against the model are told at once', async (t) => {
  const folder = await workspace(t);
  const text = `{
  "model": "model",
  "calibration": { "text": "no.txt", "sequenceLength": 4 },
  "quantisation": { "weights": { "groupSize": 5 }, "activations": { "groupSize": 7 } },
  "rotation": { "r1": "learnt", "r4": false },
  "evaluation": { "perplexity": [ { "name": "t", "text": "text.txt", "sequenceLength": 20 } ] }
}`;
  await writeFile(join(folder, 'x.spinquant.json'), text);
  const { code, stderr } = await spinquant(['optimize', 'x.spinquant.json'], folder);
  assert.equal(code, 1);
  const found = [...stderr.matchAll(/x\.spinquant\.json:(\d+:\d+): (.*)/g)].map(([, at, message]) => [
    at,
    message,
  ]);
  const expected: [string, RegExp][] = [
    ['3:28', /there is no file .*no\.txt/],
    ['4:3', /quantisation is not a key/],
    ['4:47', /groupSize is 5, which does not divide/],
    ['4:82', /groupSize is 7, which does not divide/],
    ['5:23', /r1 is "learnt"/],
    ['6:58', /text\.txt has 16 tokens, fewer than one window of 20/],
  ];
  assert.deepEqual(
    found.map(([at]) => at),
    expected.map(([at]) => at),
    stderr,
  );
  for (const [index, [, message]] of expected.entries()) assert.match(found[index]![1]!, message);
});

test('--json prints exactly one document, also when it fails', async (t) => {
  const folder = await workspace(t);
  const cases: [string[], string][] = [
    [['evaluate', 'nowhere.json', '--json'], 'config/unreadable'],
    [['evaluate', '--json'], 'cli/usage'],
    [['export', 'model', '--out', 'x', '--json'], 'runs/unreadable'],
    [['import', 'text.txt', '--out', 'm', '--json'], 'file/kind'],
    [['import', join(GOLDEN, 'model.safetensors'), '--out', 'm', '--json'], 'file/kind'],
    [['runs', 'nowhere', '--json'], 'cli/no-folder'],
  ];
  for (const [args, expected] of cases) {
    const { code, stdout } = await spinquant(args, folder);
    assert.equal(code, 1, args.join(' '));
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, expected);
  }
});

test('evaluating learned rotations needs them named; the newest run is offered', async (t) => {
  const folder = await workspace(t);
  const file = join(folder, 'x.spinquant.json');
  const perplexity = [{ name: 't', text: 'text.txt', sequenceLength: 4 }];
  await writeFile(file, experiment({ evaluation: { perplexity } }));
  const none = await spinquant(['evaluate', file], folder);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /none are named[\s\S]*spinquant optimize/);
  const run = createRun(await resolveExperiment(file), 'x');
  await writeFile(run.path('rotations'), '');
  const offered = await spinquant(['evaluate', file], folder);
  assert.ok(offered.stderr.includes(`--rotations ${run.dir}`), offered.stderr);
});

test('resume refuses a run of other settings and names them', async (t) => {
  const folder = await workspace(t);
  const file = join(folder, 'x.spinquant.json');
  await writeFile(file, experiment());
  const nothing = await spinquant(['optimize', file, '--resume'], folder);
  assert.match(nothing.stderr, /No stopped run/);
  const run = createRun(await resolveExperiment(file), 'x');
  await mkdir(run.path('checkpoint'));
  run.finish('cancelled');
  for (const named of [[], [run.record.id], [run.dir]]) {
    const { code, stderr } = await spinquant(['optimize', file, '--seed', '7', '--resume', ...named], folder);
    assert.equal(code, 1);
    assert.match(stderr, /rotation\.seed was 0, is 7/);
  }
});

test('runs lists a folder, newest first', async (t) => {
  const folder = await workspace(t);
  const file = join(folder, 'x.spinquant.json');
  await writeFile(file, experiment());
  const empty = await spinquant(['runs'], folder);
  assert.equal(empty.code, 0);
  assert.match(empty.stdout, /There are no runs in /);
  const run = createRun(await resolveExperiment(file), 'x');
  run.writeResults({
    version: 1,
    bits: 'W4A4KV4',
    loss: { first: 3.5, last: 2.25 },
    orthogonalityError: 1e-7,
    steps: 100,
    perplexity: [{ name: 't', fullPrecision: 3.5484, quantized: 4.0616, windows: 1, tokens: 2 }],
    seconds: {},
  });
  run.finish('finished');
  for (const path of ['.', file, join(folder, '.spinquant', 'runs')]) {
    const { stdout } = await spinquant(['runs', path], folder);
    assert.match(stdout, /finished {2}W4A4KV4 {2}3\.500 → 2\.250 {2}t 4\.062 \(3\.548\)/);
  }
  const { runs } = JSON.parse((await spinquant(['runs', '--json'], folder)).stdout) as {
    runs: { id: string }[];
  };
  assert.deepEqual(
    runs.map(({ id }) => id),
    [run.record.id],
  );
});

test('export writes the rotations of a run as safetensors and as R.bin', async (t) => {
  const folder = await workspace(t);
  const file = join(folder, 'x.spinquant.json');
  await writeFile(file, experiment());
  const run = createRun(await resolveExperiment(file), 'x');
  const early = await spinquant(['export', run.dir, '--out', 'r.bin'], folder);
  assert.match(early.stderr, /has no rotations\.safetensors/);
  const name = 'model.layers.0.self_attn.R2';
  await writeSafetensors(run.path('rotations'), {
    R1: float32([2, 2], Float32Array.of(0, 1, -1, 0)),
    'R2.0': float32([1, 1], Float32Array.of(-1)),
  });
  const ended = await spinquant(['export', run.dir, '--format', 'rbin', '--out', 'R.bin'], folder);
  assert.equal(ended.code, 0, ended.stderr);
  const tensors = readTorchTensors(join(folder, 'R.bin'));
  assert.deepEqual([...tensors.keys()].sort(), ['R1', name]);
  assert.deepEqual(tensors.get('R1')?.data, Float32Array.of(0, 1, -1, 0));
  const copied = await spinquant(['export', run.dir, '--out', 'r.safetensors', '--json'], folder);
  assert.equal((JSON.parse(copied.stdout) as { tensors: string[] }).tensors.length, 2);
});
