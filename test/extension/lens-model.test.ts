import assert from 'node:assert/strict';
import test from 'node:test';
import { parseExperiment } from '../../src/config/index.ts';
import { type LastResult, type LensInput, lensesOf } from '../../src/extension/experiments/lens-model.ts';
import type { Job } from '../../src/extension/services.ts';
import { Run } from '../../src/runs/index.ts';
import { FILE, summary, TEXTS } from './run-fixture.ts';

const PLAIN = { rotation: { r1: 'none', r2: 'none', r3: false, r4: false } };

function lenses(input: Partial<LensInput>, settings: object = {}) {
  const text = JSON.stringify({ ...TEXTS, rotation: { r1: 'learned' }, ...settings }, null, 1);
  return lensesOf({
    parsed: parseExperiment(text, FILE),
    summaries: [],
    job: null,
    cells: null,
    expected: null,
    isResumable: () => false,
    hasRotations: ({ run }) => run.record.id.startsWith('learned'),
    hasActivations: () => false,
    ...input,
  });
}

const kinds = (input: Partial<LensInput>, settings: object = {}) =>
  lenses(input, settings).map(({ kind }) => kind);

test('without a run: optimize, and what rounding alone gives', () => {
  assert.deepEqual(kinds({}), ['optimize', 'rotation', 'evaluate-plain']);
  assert.deepEqual(kinds({}, { rotation: { r1: 'hadamard', r2: 'hadamard' } }), [
    'rotation',
    'evaluate',
    'evaluate-plain',
    'inspect',
  ]);
});

test('lenses stand on the lines of their sections; what is not written stands with the model', () => {
  const lines = Object.fromEntries(lenses({}).map(({ kind, line }) => [kind, line]));
  // { / model / calibration { text } / evaluation { … } / rotation
  assert.equal(lines.optimize, 1);
  assert.equal(lines['evaluate-plain'], 5);
  assert.equal(lines.rotation, 13);
  const bare = lensesOf({
    parsed: parseExperiment('{\n"model": "m", "calibration": { "text": "t" } }', FILE),
    summaries: [],
    job: null,
    cells: null,
    expected: null,
    isResumable: () => false,
    hasRotations: () => false,
    hasActivations: () => false,
  });
  assert.deepEqual(
    bare.map(({ kind, line }) => [kind, line]),
    [
      ['optimize', 1],
      ['rotation', 1],
    ],
  );
});

test('what is measured of rotations stands with them: the line of the evaluation is long enough', () => {
  const found = lenses({}, { rotation: { r1: 'hadamard', r2: 'hadamard' } });
  const lineOf = (kind: string) => found.find((lens) => lens.kind === kind)?.line;
  assert.equal(lineOf('inspect'), lineOf('rotation'));
  assert.notEqual(lineOf('evaluate'), lineOf('rotation'));
});

test('a text with faults has no lenses', () => {
  assert.deepEqual(kinds({ parsed: parseExperiment('{ "modell": 1 }', FILE) }), []);
});

test('the last result is the newest measurement with rotations; the baseline stands apart', () => {
  const summaries = [
    summary({ id: 'plain', settings: PLAIN, perplexity: 900, measuredAt: '2026-01-03T00:00:00Z' }),
    summary({ id: 'learned-2', perplexity: 12.5, measuredAt: '2026-01-01T00:00:00Z' }),
    summary({ id: 'learned-1', perplexity: 12.31, measuredAt: '2026-01-02T00:00:00Z' }),
  ];
  const found = lenses({ summaries });
  const evaluate = found.find(({ kind }) => kind === 'evaluate');
  assert.ok(evaluate?.kind === 'evaluate');
  const quantized = (last: LastResult | null) => last?.perplexity.map((result) => result.quantized);
  assert.deepEqual(quantized(evaluate.last), [12.31]);
  assert.equal(evaluate.last?.bits, 'W4A4KV4');
  assert.deepEqual(evaluate.last?.changed, []);
  assert.equal(evaluate.runDir, '/lab/.spinquant/runs/learned-2', 'rotations of the newest run');
  const plain = found.find(({ kind }) => kind === 'evaluate-plain');
  assert.ok(plain?.kind === 'evaluate-plain');
  assert.deepEqual(quantized(plain.last), [900]);
  assert.equal(plain.ofOtherBits, false, 'the bits stand in the lens beside it');
  assert.deepEqual(plain.last?.changed, [], 'the baseline is compared with the file without its rotations');
  const compare = found.find(({ kind }) => kind === 'compare');
  assert.ok(compare?.kind === 'compare' && compare.runDirs.length === 2);
});

test('a result is stale when the file says something else now, not when it runs elsewhere', () => {
  const summaries = [summary({ id: 'learned', perplexity: 12 })];
  const changed = (settings: object) => {
    const lens = lenses({ summaries }, settings).find(({ kind }) => kind === 'evaluate');
    return lens?.kind === 'evaluate' ? lens.last?.changed : undefined;
  };
  assert.deepEqual(changed({ rotation: { seed: 1 } }), ['rotation.seed']);
  assert.deepEqual(changed({ threads: 2, device: 'cpu', runs: 'elsewhere' }), []);
  assert.deepEqual(changed({ model: './x/../m' }), []);
});

test('a stopped run can be resumed; a running one paused and cancelled', () => {
  const stopped = [summary({ id: 'stopped', status: 'interrupted' })];
  assert.deepEqual(kinds({ summaries: stopped, isResumable: () => true }).slice(0, 2), [
    'resume',
    'optimize',
  ]);
  const job: Job = {
    id: 'job-1',
    kind: 'optimize',
    experiment: FILE,
    state: 'running',
    runDir: null,
    message: null,
  };
  assert.deepEqual(kinds({ job }), ['pause', 'cancel', 'progress', 'rotation']);
  assert.deepEqual(kinds({ job: { ...job, state: 'waiting' } }), ['cancel', 'progress', 'rotation']);
});

test('measured activations lead to the layers', () => {
  const summaries = [summary({ id: 'learned', perplexity: 12 })];
  const edited = { quantization: { activations: { bits: 8 } } };
  const found = lenses({ summaries, hasActivations: () => true }, edited);
  const layers = found.find(({ kind }) => kind === 'layers');
  assert.ok(layers?.kind === 'layers');
  assert.equal(layers.bits, 'W4A4KV4', 'those of the run');
  assert.equal(layers.runDir, '/lab/.spinquant/runs/learned');
});

test('an experiment with a matrix fills its table; runs of cells are not its own results', () => {
  const cells = { done: 12, total: 60 };
  const cell = { bits: '4-4-4', method: 'rtn', title: 'RTN', seed: 0, seeded: false, key: 'k', inputs: null };
  const { run, ...rest } = summary({ id: 'learned-cell', perplexity: 7 });
  const ofCell = { ...rest, run: new Run(run.dir, { ...run.record, cell }) };
  const matrix = { matrix: { bits: ['4-4-4'], methods: ['rtn'] } };
  const found = lenses({ cells, summaries: [ofCell] }, matrix);
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['fill-table', 'show-table'],
    'its rows have rotations of their own, and cells are measured by filling the table',
  );
  const [fill] = found;
  assert.ok(fill?.kind === 'fill-table');
  assert.deepEqual([fill.done, fill.total], [12, 60]);
  // { / model / calibration { text } / evaluation { perplexity [ { name, text } ] } / rotation { r1 } / matrix
  assert.equal(fill.line, 16);
  const job: Job = {
    ...{ id: 'job-1', kind: 'optimize', experiment: FILE, state: 'running', runDir: null, message: null },
  };
  assert.deepEqual(kinds({ cells, job }, matrix), ['pause', 'cancel', 'progress']);
  const progress = lenses({ cells, job }, matrix).at(-1);
  assert.ok(progress?.kind === 'progress');
  assert.deepEqual(progress.cells, cells);
  const evaluating = lenses({ cells, job: { ...job, kind: 'evaluate' } }, matrix).at(-1);
  assert.ok(evaluating?.kind === 'progress');
  assert.equal(evaluating.cells, null, 'it fills no table');
  assert.deepEqual(
    kinds({ summaries: [ofCell] }),
    ['optimize', 'rotation', 'evaluate-plain'],
    'without the matrix no rotation of a cell is taken for one of the file',
  );
});
