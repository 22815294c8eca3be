/** Runs of an earlier version (test/fixtures/old-runs) are read, resumed and measured with. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathOf, resolveExperiment } from '../../src/config/index.ts';
import {
  evaluateExperiment,
  exportRun,
  findSource,
  measureAndKeep,
  optimizeRotation,
  runToResume,
} from '../../src/engine/index.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import type { RoundingEvent, RunEvent } from '../../src/protocol/events.ts';
import { isResumable, listRuns, openRun, type PerplexityResult, RUN_FILES } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const runPath = (name: string) => join(folder, 'runs', name);
const GPTQ = runPath('20261128T151219Z-gptq');
const LEARNED = runPath('20261128T151300Z-learned');
const DRAWN = runPath('20261128T151304Z-drawn-evaluate');
const KERNELS = { kernels: 'composed' } as const;

interface Expected {
  readonly resumed: {
    readonly loss: { readonly first: number; readonly last: number };
    readonly steps: number;
    readonly perplexity: readonly PerplexityResult[];
  };
  readonly evaluatedGptq: readonly PerplexityResult[];
}
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;

const experiment = (name: string) => resolveExperiment(join(folder, `${name}.spinquant.json`), 'optimize');
const phases = (events: readonly RunEvent[]) =>
  events.flatMap((event) => (event.type === 'phase' && event.state === 'started' ? [event.phase] : []));

/**
 * Another processor sums in another order. At full precision that moves the loss of a token by a few roundings of
 * float32; at 4 bits a value on the border between two codes may fall to the other one, which moves it by far more.
 */
const FULL_PRECISION = 1e-4;
const FOUR_BITS = 0.02;

function near(found: number | null, wanted: number | null, share: number, what: string): void {
  assert.ok(found !== null && wanted !== null, what);
  assert.ok(Math.abs(found - wanted) <= share * wanted, `${what}: ${found}, not ${wanted}`);
}

function alike(found: readonly PerplexityResult[], wanted: readonly PerplexityResult[]): void {
  assert.equal(found.length, wanted.length);
  for (const [index, { name, fullPrecision, quantized, windows, tokens }] of wanted.entries()) {
    const own = found[index]!;
    assert.deepEqual([own.name, own.windows, own.tokens], [name, windows, tokens]);
    near(own.fullPrecision, fullPrecision, FULL_PRECISION, 'full precision');
    near(own.quantized, quantized, FOUR_BITS, 'quantized');
  }
}

test('all runs are listed with their status, and open', async () => {
  const { runs, damaged } = await listRuns(join(folder, 'runs'));
  assert.deepEqual(damaged, []);
  assert.deepEqual(runs.map(({ dir, record }) => [dir, record.status]).sort(), [
    [GPTQ, 'finished'],
    [LEARNED, 'interrupted'],
    [DRAWN, 'finished'],
  ]);
  assert.deepEqual(
    runs.filter(isResumable).map(({ dir }) => dir),
    [LEARNED],
  );
  for (const { experimentFile } of runs) assert.ok(existsSync(experimentFile), experimentFile);
});

test('what the runs did is read, in the form of today', async () => {
  const events = await (await openRun(GPTQ)).readEvents();
  const rounded = events.filter((event): event is RoundingEvent => event.type === 'rounding');
  assert.deepEqual(
    rounded.map(({ method, layer }) => [method, layer]),
    [
      ['gptq', 0],
      ['gptq', 1],
    ],
  );
  for (const { errors } of rounded) {
    assert.equal(errors.length, 7);
    assert.ok(errors.every(({ error, nearest }) => error > 0 && error < nearest));
  }
  assert.equal(events.at(-1)?.type, 'run-finished');
  const { bits, loss, perplexity, seconds } = await (await openRun(GPTQ)).readResults();
  assert.equal(bits, 'W4A4KV4');
  assert.ok(loss !== null && loss.last < loss.first);
  assert.deepEqual(Object.keys(seconds).sort(), [
    ...['evaluate', 'fuse', 'learn', 'load', 'preserve-check', 'round', 'scan', 'statistics', 'tokenize'],
  ]);
  assert.equal(perplexity[0]?.name, 'stories');
  const { sites } = await (await openRun(GPTQ)).readActivations();
  assert.equal(sites.length, 2 * 7);
  assert.deepEqual(sites.find(({ site }) => site === 'down-input')?.rotation, ['R4']);
  const interrupted = await (await openRun(LEARNED)).readEvents();
  assert.deepEqual(
    interrupted.flatMap((event) => (event.type === 'step' ? [event.step] : [])),
    [1, 2],
  );
  assert.equal((await (await openRun(DRAWN)).readResults()).loss, null);
  for (const dir of [GPTQ, LEARNED, DRAWN]) {
    const stored = await (await openRun(dir)).readExperiment();
    assert.equal(stored.model, join(folder, 'model'));
    assert.ok(stored.evaluation.perplexity.every(({ text }) => existsSync(pathOf(text))));
  }
});

test('weights that GPTQ rounded then serve a measurement of today', async () => {
  const asked = await experiment('gptq');
  const source = await findSource(asked, { path: GPTQ });
  assert.equal(source?.run?.dir, GPTQ);
  const { rotations } = source;
  const { result, events } = await collect(evaluateExperiment(asked, { ...KERNELS, rotations }));
  alike(result.perplexity, expected.evaluatedGptq);
  assert.ok(!phases(events).includes('round'), 'they are not rounded again');
});

test('a measurement is added to an old run', async () => {
  const asked = await experiment('gptq');
  const before = await (await openRun(GPTQ)).readResults();
  const source = await findSource(asked, { path: GPTQ });
  const { result } = await collect(measureAndKeep('evaluate', asked, source, KERNELS));
  assert.equal(result, GPTQ, 'the settings are those of the run');
  const { perplexity, ...rest } = await (await openRun(GPTQ)).readResults();
  alike(perplexity, expected.evaluatedGptq);
  const { perplexity: _, ...unchanged } = before;
  assert.deepEqual({ ...rest, measuredAt: null }, { ...unchanged, measuredAt: null });
});

test('its rotations are exported', async () => {
  const out = join(folder, 'R.bin');
  assert.deepEqual(await exportRun(GPTQ, 'rbin', out), [
    'R1',
    'model.layers.0.self_attn.R2',
    'model.layers.1.self_attn.R2',
  ]);
});

test('an interrupted run goes on from its checkpoint to what it would have become', async () => {
  const asked = await experiment('learned');
  const run = await runToResume(asked, null);
  assert.equal(run.dir, LEARNED);
  const { result, events } = await collect(optimizeRotation(asked, { ...KERNELS, resumeFrom: run.dir }));
  assert.equal(result.run, LEARNED);
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'step' ? [event.step] : [])),
    [2, 3, 4, 5, 6],
  );
  const { resumed } = expected;
  assert.equal(result.loss.first, resumed.loss.first, 'the first step is not done again');
  near(result.loss.last, resumed.loss.last, FOUR_BITS / 10, 'loss');
  assert.equal(result.steps, resumed.steps);
  assert.ok(result.orthogonalityError < 1e-6);
  alike(result.perplexity, resumed.perplexity);
  const finished = await openRun(LEARNED);
  assert.equal(finished.record.status, 'finished');
  const all = (await finished.readEvents()).flatMap((event) => (event.type === 'step' ? [event.step] : []));
  assert.deepEqual(all, [1, 2, 3, 4, 5, 6], 'each step stands once in the log');
  const { tensors } = readSafetensorsHeader(join(LEARNED, RUN_FILES.rotations));
  assert.deepEqual([...tensors.keys()].sort(), ['R1', 'R2.0', 'R2.1']);
});
