/** `spinquant bench` on a tiny model and a run of it: who takes part, what is told of each, bad input. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createColors } from 'picocolors';
import { bench } from '../../src/cli/commands/bench.ts';
import { parseBeside, parseDepths } from '../../src/cli/option-values.ts';
import type { Output } from '../../src/cli/output.ts';
import { speedText } from '../../src/cli/speed-table.ts';
import { exportModel, measureSpeed, type SpeedRequest, type SpeedResult } from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { StockReader } from '../../src/engine/speed/stock-reader.ts';
import { BESIDE_NAMES, type ContenderSpeed } from '../../src/protocol/speed.ts';
import { spinquant } from '../cli/spinquant.ts';
import { rejectsWith } from '../formats/support.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { StockSession } from '../helpers/stock-session.ts';

const folder = oldRunsFolder();
const MODEL = join(folder, 'model');
const RUN = join(folder, 'runs', '20261128T151219Z-gptq');
const temporary = join(folder, 'temporary');
mkdirSync(temporary);
process.env.TMPDIR = temporary;
after(() => {
  delete process.env.TMPDIR;
});

const SMALL = {
  promptTokens: 6,
  tokens: 2,
  depths: [4],
  repeat: 1,
  threads: 1,
  headBits: 16,
  llama: null,
} as const;

async function measured(asked: Pick<SpeedRequest, 'from' | 'beside'>, kernels: 'auto' | 'composed') {
  const measuring = measureSpeed({ ...SMALL, ...asked }, { kernels });
  for (;;) {
    const next = await measuring.next();
    if (next.done) return next.value;
  }
}

function assertRates({ prompt, decode, depths }: ContenderSpeed): void {
  for (const rate of [prompt, decode, depths[0]!.decode]) {
    assert.ok(rate.fastest > 0 && Number.isFinite(rate.fastest));
    assert.deepEqual([rate.median, rate.slowest], [rate.fastest, rate.fastest], 'one round');
  }
  assert.deepEqual(
    depths.map(({ depth }) => depth),
    [4],
  );
}

test('a run, simulated where there are no kernels, beside its model and stock ONNX Runtime', async () => {
  const result = await measured({ from: { run: RUN }, beside: BESIDE_NAMES }, 'composed');
  const { networks, left, machine, bits, run } = result;
  assert.deepEqual([bits, run, machine.threads], ['W4A4KV4', RUN, 1]);
  assert.deepEqual(
    networks.map(({ name }) => name),
    ['simulated', 'full-precision', 'onnx'],
  );
  networks.forEach(assertRates);
  const [simulated, full, onnx] = networks;
  // Two layers, two key/value heads of 16 channels, keys and values: codes of 4 bits with a scale and a zero point.
  assert.equal(simulated!.cacheBytesPerToken, 2 * 2 * 2 * (16 / 2 + 6));
  assert.equal(simulated!.cacheOf16Bits, (16 / 2 + 6) / (2 * 16));
  assert.equal(full!.cacheBytesPerToken, 2 * 2 * 2 * 16 * 4);
  assert.equal(onnx!.cacheOf16Bits, 2);
  const { sizeBytes } = await openCheckpoint(MODEL);
  assert.equal(full!.weightBytes, sizeBytes);
  assert.ok(networks.every(({ firstTokenSeconds }) => firstTokenSeconds! > 0));
  assert.deepEqual(
    left.map(({ name }) => name),
    ['integer'],
  );
  assert.match(left[0]!.reason, /need the native operators/);
  const exported = readdirSync(temporary).filter((name) => name.startsWith('spinquant-bench-'));
  assert.deepEqual(exported, [], 'the exported folder is gone');
});

test('in whole numbers where there are kernels', {
  skip: KERNELS.includes('native') ? false : 'the native operators are not built',
}, async () => {
  const result = await measured({ from: { run: RUN }, beside: ['simulated'] }, 'auto');
  const [integer, simulated] = result.networks;
  assert.deepEqual([integer!.name, simulated!.name, result.networks.length], ['integer', 'simulated', 2]);
  assert.ok(integer!.weightBytes < simulated!.weightBytes);
  assert.deepEqual(result.left, []);
  assert.ok(result.machine.instructionSets.includes('portable'));
  assert.ok(integer!.ofBandwidth! > 0);
  const ofBandwidth = (integer!.decode.fastest * integer!.readBytesPerToken!) / result.machine.readBandwidth!;
  assert.equal(integer!.ofBandwidth, ofBandwidth);
});

test('a model alone', async () => {
  const { networks, run } = await measured({ from: { model: MODEL }, beside: [] }, 'composed');
  assert.deepEqual([networks.map(({ name }) => name), run], [['full-precision'], null]);
});

test('stock ONNX Runtime computes the same in place, whole or token by token, and again after it was rewound', async () => {
  const out = join(folder, 'exported');
  const request = {
    from: { model: MODEL },
    format: 'onnx',
    target: 'stock',
    out,
    embeddings: 16,
    head: 16,
  } as const;
  await collect(exportModel(request, { kernels: 'composed' }));
  const { config } = await openCheckpoint(MODEL);
  const ids = Int32Array.of(5, 9, 3, 17, 11);
  const session = await StockSession.open(out, config);
  const expected = (await session.logits(ids)).subarray(4 * config.vocabSize);
  await session.release();
  const reader = await StockReader.open(out, config, { threads: 1, capacity: 12 });
  for (const parts of [[3, 1, 1], [1, 4], [5]]) {
    reader.rewind();
    let last = new Float32Array();
    for (const count of parts) {
      const from = reader.length;
      last = Float32Array.from((await reader.next(ids.subarray(from, from + count))).data);
    }
    assert.equal(reader.length, 5);
    // Sums of other lengths go in another order: a few roundings of float32, against logits of about 1.
    for (const [i, value] of last.entries())
      assert.ok(Math.abs(value - expected[i]!) < 1e-4, `${i} of ${parts}`);
  }
  await reader.release();
});

/** What a command says, for as long as it does not print it. */
function recorded(): Output & { readonly documents: unknown[] } {
  const nothing = () => {};
  const documents: unknown[] = [];
  const said = { result: nothing, stream: () => true, note: nothing, warn: nothing, status: nothing };
  const document = (value: unknown) => documents.push(value);
  return { json: true, colors: createColors(false), live: false, columns: 80, ...said, document, documents };
}

test('the command prints a table, and says how llama.cpp takes part', async () => {
  const asked = [
    'bench',
    'model',
    '--prompt-tokens',
    '6',
    '--tokens',
    '2',
    '--repeat',
    '1',
    '--beside',
    'none',
  ];
  const more = ['--depths', '4,8', '--threads', '1', '--kernels', 'composed'];
  const { code, stdout, stderr } = await spinquant([...asked, ...more], folder);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^full-precision: full precision, weights in \w+$/m);
  assert.match(stdout, /^full-precision +\S+ +\S+ +0 % +\S+ +\S+ +0 % .* 512 B +2\.000 /m);
  assert.match(stdout, /^tokens before +4 +8 +share$/m);
  assert.match(stderr, /llama\.cpp is measured beside it with --llama-bench PROGRAM --gguf FILE/);
});

test('the document has the sizes and the networks that were measured', async () => {
  const output = recorded();
  const { llama: _, ...sizes } = SMALL;
  await bench(MODEL, { ...sizes, beside: [], kernels: 'composed' }, output);
  const [found] = output.documents as SpeedResult[];
  assert.deepEqual(found?.sizes, { promptTokens: 6, tokens: 2, depths: [4], repeat: 1 });
  assert.equal(found?.networks.length, 1);
});

test('what cannot be measured is refused before anything is computed', async () => {
  const gguf = join(folder, 'model.gguf');
  writeFileSync(gguf, 'GGUF');
  const missing = join(folder, 'none');
  for (const [flags, code, message] of [
    [{ gguf }, 'cli/not-used', /There is no --llama-bench PROGRAM: --gguf would not be used/],
    [{ llamaBench: gguf }, 'cli/not-used', /There is no --gguf FILE: --llama-bench would not be used/],
    [{ gguf, llamaBench: missing }, 'bench/no-file', /There is no .*none \(--llama-bench\)/],
    [{ gguf: folder, llamaBench: gguf }, 'bench/no-file', /is no file \(--gguf\)/],
    [
      { promptTokens: 300, beside: [] },
      'bench/context',
      /^364 tokens are to be read; .*model has 256 positions/,
    ],
  ] as const)
    await rejectsWith(() => bench(MODEL, { ...flags, kernels: 'composed' }, recorded()), code, message);
});

test('lists of options', () => {
  assert.deepEqual(parseDepths('128, 2048'), [128, 2048]);
  assert.deepEqual([parseDepths('none'), parseBeside('none')], [[], []]);
  assert.deepEqual(parseBeside('onnx,simulated'), ['onnx', 'simulated']);
  assert.throws(
    () => parseBeside('vllm'),
    /Allowed: simulated, full-precision, onnx, between commas, or none/,
  );
  assert.throws(() => parseDepths('128,0'), /Allowed: a whole number from 1/);
});

test('the table has the noise, shares and ratios of what was measured', () => {
  const rate = (fastest: number, slowest: number) => ({ fastest, median: (fastest + slowest) / 2, slowest });
  const facts = { weightBytes: 2 ** 20, cacheBytesPerToken: 2048, cacheOf16Bits: 0.297, ofBandwidth: 0.5 };
  const unknown = {
    cacheBytesPerToken: null,
    cacheOf16Bits: null,
    ofBandwidth: null,
    firstTokenSeconds: null,
  };
  const depths = (...rates: number[]) =>
    rates.map((fastest, i) => ({ depth: 128 * (i + 1), decode: rate(fastest, fastest) }));
  const own = {
    name: 'integer',
    title: 'the run',
    ...facts,
    readBytesPerToken: 1,
    firstTokenSeconds: 0.5,
  } as const;
  const other = {
    name: 'llama.cpp',
    title: 'the other',
    ...facts,
    ...unknown,
    readBytesPerToken: null,
  } as const;
  const text = speedText({
    ...{ model: 'model', run: 'run', bits: 'W4A8KV4', left: [] },
    machine: {
      ...{ processor: 'A processor', instructionSets: ['portable', 'avx2'], threads: 2, runtime: '' },
      readBandwidth: 17.26e9,
    },
    sizes: { promptTokens: 512, tokens: 128, depths: [128, 256], repeat: 2 },
    networks: [
      { ...own, prompt: rate(400, 300), decode: rate(40, 40), depths: depths(40, 30) },
      { ...other, prompt: rate(200, 200), decode: rate(80, 60), depths: depths(80, 20) },
    ],
  });
  const words = text.split('\n').map((line) => line.split(/ {2,}/));
  assert.deepEqual(words[0], ['A processor · portable, avx2 · 2 threads · reads 17.3 GB/s']);
  const row = (name: string, nth: number) => words.filter((line) => line[0] === name)[nth];
  assert.deepEqual(row('integer', 0)?.slice(1), [
    ...['400', '350', '29 %', '40.0', '40.0', '0 %'],
    ...['1.0 MiB', '2.0 KiB', '0.297', '50 %', '0.5 s'],
  ]);
  assert.deepEqual(row('llama.cpp', 0)?.slice(4), ['80.0', '70.0', '29 %', '1.0 MiB', '–', '–', '–', '–']);
  assert.deepEqual(row('integer', 1)?.slice(1), ['40.0', '30.0', '75 %']);
  assert.match(text, /integer against llama\.cpp: prompt 2\.00 times as fast, behind it 0\.50 times$/);
});
