/** Who is measured when, how rates come from seconds, what fits a model, and llama.cpp through its own program. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { SeekingReader } from '../../src/engine/generate/decoder.ts';
import { speedSizes } from '../../src/engine/plan/speed/sizes.ts';
import { type Contender, ReadingContender, rateOf } from '../../src/engine/speed/contender.ts';
import { LlamaContender } from '../../src/engine/speed/llama-bench.ts';
import { DEPTH_TOKENS, longestText, measureInTurn } from '../../src/engine/speed/measure.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { ContenderName } from '../../src/protocol/speed.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith } from '../formats/support.ts';

test('rates are tokens per second, the fastest first; the median of two rounds lies between them', () => {
  assert.deepEqual(rateOf(10, [2, 1, 4]), { fastest: 10, median: 5, slowest: 2.5 });
  assert.deepEqual(rateOf(10, [2, 1]), { fastest: 10, median: 7.5, slowest: 5 });
});

/** Says what is asked of it, in the order in which it is asked, and took one second for all. */
function recorder(name: ContenderName, said: string[], warmsUp = true): Contender {
  return {
    name,
    warmsUp,
    rewind: () => void said.push(`${name} rewind`),
    async text() {
      said.push(`${name} text`);
      return { prompt: 1, decode: 2 };
    },
    async behind(depth, tokens) {
      said.push(`${name} ${tokens} behind ${depth}`);
      return 4;
    },
  };
}

async function resultOf<T>(measuring: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await measuring.next();
    if (next.done) return next.value;
  }
}

test('all are measured in turn, and all depths in each round; one that warms up by itself has no round for it', async () => {
  const said: string[] = [];
  const contenders = [recorder('integer', said), recorder('llama.cpp', said, false)];
  const sizes = { promptTokens: 30, tokens: 8, depths: [5, 9], repeat: 1 };
  let between = 0;
  const rates = await resultOf(measureInTurn(contenders, sizes, () => between++));
  const depths = ['integer 32 behind 5', 'integer 32 behind 9'];
  const inTurn = [
    ...['integer 32 behind 5', 'llama.cpp 32 behind 5'],
    ...['integer 32 behind 9', 'llama.cpp 32 behind 9'],
  ];
  const texts = ['integer text', 'integer text', 'llama.cpp text'];
  const rewinds = ['integer rewind', 'llama.cpp rewind'];
  assert.deepEqual(said, [...texts, ...rewinds, ...depths, ...inTurn]);
  assert.equal(between, 6, 'before each of three turns and three that warm up');
  const all = (rate: number) => ({ fastest: rate, median: rate, slowest: rate });
  assert.deepEqual(rates.get('llama.cpp'), {
    prompt: all(30),
    decode: all(4),
    depths: [5, 9].map((it) => ({ depth: it, decode: all(8) })),
  });
});

test('what is stopped is stopped before the next one is measured', async () => {
  const said: string[] = [];
  const stop = new AbortController();
  const contenders = [recorder('integer', said), recorder('onnx', said)];
  const sizes = { promptTokens: 3, tokens: 1, depths: [], repeat: 1 };
  const measuring = measureInTurn(contenders, sizes, () => {}, stop.signal);
  await measuring.next();
  await measuring.next();
  stop.abort();
  await assert.rejects(resultOf(measuring), Cancelled);
  assert.deepEqual(said, ['integer text', 'onnx text']);
});

test('a reader reads the prompt at once and the rest one by one, and what lies before a depth once', async () => {
  const read: string[] = [];
  let length = 0;
  const reader: SeekingReader = {
    get length() {
      return length;
    },
    rewind() {
      length = 0;
    },
    seek(to) {
      length = to;
    },
    async next(ids) {
      read.push(Array.from(ids).join(' '));
      length += ids.length;
      return float32([1, 1], new Float32Array(1));
    },
  };
  const ids = Int32Array.from({ length: 12 }, (_, i) => i);
  const contender = new ReadingContender('integer', reader, ids, { promptTokens: 3, tokens: 2 });
  await contender.text();
  await contender.text();
  assert.deepEqual(read.splice(0), ['0 1 2', '3', '4', '0 1 2', '3', '4']);
  contender.rewind();
  await contender.behind(4, 2);
  await contender.behind(4, 2);
  await contender.behind(9, 1);
  await contender.behind(4, 1);
  await contender.behind(9, 2);
  await contender.behind(5, 1);
  assert.deepEqual(read, ['0 1 2 3', '4', '5', '4', '5', '6 7 8', '9', '4', '9', '10', '5']);
});

const NOTHING_ASKED = { promptTokens: null, tokens: null, depths: null, repeat: null };

test('usual sizes shrink to the positions of a model, and what is left out is said', () => {
  const large = speedSizes(NOTHING_ASKED, { maxPositions: 2 ** 17 }, 'model');
  assert.deepEqual(large, {
    sizes: { promptTokens: 512, tokens: 128, depths: [128, 2048, 8192], repeat: 3 },
    left: [],
  });
  const small = speedSizes(NOTHING_ASKED, { maxPositions: 256 }, 'model');
  assert.deepEqual(small.sizes, { promptTokens: 192, tokens: 64, depths: [128], repeat: 3 });
  assert.deepEqual(
    small.left.map(({ reason }) => /behind (\d+) others/.exec(reason)?.[1]),
    ['2048', '8192'],
  );
  const tiny = speedSizes(NOTHING_ASKED, { maxPositions: 3 }, 'model').sizes;
  assert.deepEqual([tiny.promptTokens, tiny.tokens, tiny.depths], [2, 1, []]);
  assert.equal(longestText(large.sizes), 8192 + DEPTH_TOKENS);
});

test('sizes that were asked for do not shrink', async () => {
  const size = (asked: object) => speedSizes({ ...NOTHING_ASKED, ...asked }, { maxPositions: 256 }, 'model');
  const sizes = size({ depths: [100, 50, 100], repeat: 1 }).sizes;
  assert.deepEqual(sizes.depths, [50, 100]);
  const refused = async (asked: object, message: RegExp) =>
    rejectsWith(async () => size(asked), 'bench/context', message);
  await refused({ depths: [250] }, /^282 tokens are to be read; model has 256 positions/);
  await refused({ promptTokens: 200, tokens: 57 }, /^257 tokens/);
});

const folder = mkdtempSync(join(tmpdir(), 'spinquant-speed-'));
after(() => rmSync(folder, { recursive: true }));
let programs = 0;

/** A program in the place of llama-bench, which writes down what it is called with. */
function program(body: string): { readonly file: string; readonly calls: () => string[] } {
  const file = join(folder, `llama-bench-${programs++}`);
  const log = `${file}.log`;
  const words = `require('node:fs').appendFileSync(${JSON.stringify(log)}, process.argv.slice(2).join(' ') + '\\n');`;
  writeFileSync(file, `#!${process.execPath}\n${words}\n${body}\n`);
  chmodSync(file, 0o755);
  return { file, calls: () => readFileSync(log, 'utf8').trim().split('\n') };
}

const sizes = { promptTokens: 7, tokens: 3 };
const unix = process.platform === 'win32' ? 'programs begin with #!' : false;

test('llama.cpp reads the prompt, tokens behind it, and tokens behind a depth', { skip: unix }, async () => {
  const test = `{ n_prompt: Number(a[3]), n_gen: Number(a[5]), n_depth: Number(a[7]), samples_ns: [3e9, 2e9] }`;
  const { file, calls } = program(`const a = process.argv.slice(2); console.log(JSON.stringify([${test}]));`);
  const contender = new LlamaContender({ program: file, gguf: 'model.gguf' }, 2, sizes);
  assert.deepEqual(await contender.text(), { prompt: 2, decode: 2 });
  assert.equal(await contender.behind(40, 16), 2);
  const rest = '-t 2 -r 1 -o json';
  assert.deepEqual(calls(), [
    `-m model.gguf -p 7 -n 0 -d 0 ${rest}`,
    `-m model.gguf -p 0 -n 3 -d 7 ${rest}`,
    `-m model.gguf -p 0 -n 16 -d 40 ${rest}`,
  ]);
});

test('a program that is none of llama.cpp is said, with what it printed', { skip: unix }, async () => {
  for (const [body, message] of [
    ['console.log("hello")', /llama-bench-\d+ could not be measured with: it printed no JSON: "hello/],
    ['console.log("[{}]")', /its JSON is no list of tests with n_prompt/],
    [
      'console.log(JSON.stringify([{ n_prompt: 1, n_gen: 0, samples_ns: [1] }]))',
      /it printed no test of 7 and 0 tokens/,
    ],
    ['console.error("no such model"); process.exit(1)', /no such model/],
  ] as const) {
    const contender = new LlamaContender({ program: program(body).file, gguf: 'model.gguf' }, 2, sizes);
    await rejectsWith(() => contender.text(), 'bench/llama-bench', message);
  }
});
