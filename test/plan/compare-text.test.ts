/** Networks beside each other: one text that all judge, and a text of each. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import {
  type ComparisonRequest,
  compareText,
  type GenerateResult,
  generateText,
  type Writer,
} from '../../src/engine/index.ts';
import type { ColumnEvent, ComparisonEvent } from '../../src/protocol/comparison.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { rejectsWith } from '../formats/support.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const MODEL = join(folder, 'model');
const RUN = join(folder, 'runs', '20261128T151219Z-gptq');
const OPTIONS = { kernels: 'composed' } as const;
const REQUEST: ComparisonRequest = {
  from: [{ model: MODEL }, { run: RUN }],
  prompt: { text: 'once upon a time', chat: null },
  tokens: 24,
  choice: MOST_LIKELY,
  seed: 0,
  stops: [],
};

async function compared(changes: Partial<ComparisonRequest> = {}) {
  const work = compareText({ ...REQUEST, ...changes }, OPTIONS);
  const events: (RunEvent | ComparisonEvent)[] = [];
  for (;;) {
    const next = await work.next();
    if (next.done) return { columns: byColumn(events), result: next.value };
    events.push(next.value);
  }
}

/** What a network writes alone. */
async function written(from: Writer, tokens: number): Promise<GenerateResult> {
  const alone = { from, tokens, stops: [], cacheBits: null, simulated: false };
  const writing = generateText({ ...REQUEST, ...alone }, OPTIONS);
  let next = await writing.next();
  while (!next.done) next = await writing.next();
  return next.value;
}

function byColumn(events: readonly (RunEvent | ComparisonEvent)[]): ColumnEvent[][] {
  const columns: ColumnEvent[][] = [];
  for (const event of events) {
    if (event.type !== 'column') continue;
    columns[event.column] ??= [];
    columns[event.column]!.push(event.event);
  }
  return columns;
}

const ofType = <T extends ColumnEvent['type']>(events: readonly ColumnEvent[], type: T) =>
  events.filter((event): event is Extract<ColumnEvent, { type: T }> => event.type === type);

test('full precision judges its own text without difference; a run differs, and writes as it does alone', async () => {
  const { columns, result } = await compared();
  const [plain, itself, run] = columns;
  const [same, quantized] = result.networks;
  const { ids } = result.fullPrecision;
  assert.equal(ids.length, 24);
  const likely = ofType(plain!, 'token').map(({ logProbability }) => logProbability);
  assert.deepEqual(
    same!.judged,
    likely.map((logProbability) => ({ logProbability, divergence: 0 })),
  );
  assert.deepEqual([same!.summary!.meanDifference, same!.summary!.meanDivergence], [0, 0]);
  assert.equal(same!.written.text, result.fullPrecision.text);
  assert.deepEqual(ofType(plain!, 'text-judged'), ofType(itself!, 'text-judged'));

  assert.equal(quantized!.judged.length, ids.length);
  assert.ok(quantized!.judged.every(({ divergence }) => divergence > 0));
  const { meanDivergence, perplexity } = quantized!.summary!;
  assert.ok(
    meanDivergence > 0.001 && perplexity > same!.summary!.perplexity,
    'greedy text is likeliest to its writer',
  );
  assert.deepEqual(
    ofType(run!, 'judged').map(({ type: _, ...token }) => token),
    quantized!.judged,
  );
  const alone = await written({ run: RUN }, 24);
  assert.deepEqual(quantized!.written.ids, alone.ids);
  assert.equal(ofType(run!, 'token').length, alone.ids.length);
  assert.deepEqual(
    run!.map(({ type }) => type).filter((type, place, all) => type !== all[place - 1]),
    ['started', 'prompt', 'network', 'token', 'text-end', 'written', 'judged', 'text-judged'],
  );
});

test('each text ends before a stop string', async () => {
  const whole = await compared();
  const text = whole.result.fullPrecision.text;
  const stop = text.slice(8, 12);
  const { result } = await compared({ stops: [stop] });
  assert.equal(result.fullPrecision.text, text.slice(0, text.indexOf(stop)));
  assert.equal(result.fullPrecision.ended, 'stop');
});

test('bytes are those that each network takes alone', async () => {
  const from = [{ model: MODEL }, { run: RUN }];
  const { columns } = await compared({ from, tokens: 1 });
  const networks = columns.map((events) => ofType(events, 'network')[0]!);
  assert.deepEqual(
    networks.map(({ bits }) => bits),
    ['W16A16KV16', 'W16A16KV16', 'W4A4KV4'],
  );
  for (const [place, writer] of from.entries()) {
    const { weightBytes, cacheOf16Bits } = await written(writer, 1);
    const { weights, cachePerToken } = networks[place + 1]!.bytes;
    assert.equal(weights, weightBytes);
    // Two layers, two key/value heads of 16 channels, keys and values, at 16 bits.
    assert.equal(cachePerToken, 2 * 2 * 16 * 2 * 2 * cacheOf16Bits);
  }
  assert.deepEqual(networks[0], networks[1]);
});

test('a run that cannot be read fails alone; one of another model is refused', async () => {
  const moved = join(folder, 'runs', '20261128T151220Z-moved');
  cpSync(RUN, moved, { recursive: true });
  cpSync(MODEL, join(folder, 'other'), { recursive: true });
  const path = join(moved, 'experiment.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/"model": "([^"]*)model"/, '"model": "$1other"'));
  const from = [{ run: RUN }, { run: moved }, { run: join(folder, 'nowhere') }, { run: RUN }];
  const { columns, result } = await compared({ from, tokens: 2 });
  assert.deepEqual(
    result.networks.map((network) => network?.written.ids.length ?? null),
    [2, null, null, 2],
  );
  const [other, missing] = columns.slice(2, 4).map((events) => ofType(events, 'failed')[0]!);
  assert.match(other!.message, /^This run is of .*other; the text is written by .*model\.$/);
  assert.match(missing!.message, /nowhere/);
  rmSync(moved, { recursive: true });
});

test('bad requests are refused before anything is written', async () => {
  const refused = (changes: Partial<ComparisonRequest>, code: string, message: RegExp) =>
    rejectsWith(() => compared(changes), code, message);
  await refused({ from: [] }, 'generate/no-network', /No network is named/);
  await refused({ from: [{ run: join(folder, 'nowhere') }] }, 'runs/unreadable', /nowhere/);
  await refused({ tokens: 255 }, 'generate/context', /The prompt has 16 tokens and 255 more are asked for/);
});

test('cancelled within the text or within its judgement, it ends at once', async () => {
  for (const at of ['token', 'judged'] as const) {
    const controller = new AbortController();
    const work = compareText(REQUEST, { ...OPTIONS, signal: controller.signal });
    await assert.rejects(
      async () => {
        for (let after = 0; after < 200; ) {
          const { done, value } = await work.next();
          assert.ok(!done, 'it went on to its end');
          if (value.type !== 'column') continue;
          if (controller.signal.aborted) after++;
          if (value.event.type === at) controller.abort();
          assert.ok(after < 3, `${after} events later`);
        }
      },
      { name: 'Cancelled' },
    );
  }
});
