/** What is damaged in one run costs neither the other runs nor the rest of that one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { runs } from '../../src/cli/commands/runs.ts';
import type { Output } from '../../src/cli/output.ts';
import { type RunEvent, timed } from '../../src/protocol/events.ts';
import { createRun, openRun, type Run, readEvents } from '../../src/runs/index.ts';
import { experimentIn, step } from './run-of.ts';

const RESULTS = {
  version: 1,
  bits: 'W4A4KV4',
  loss: { first: 3, last: 2 },
  orthogonalityError: 1e-7,
  steps: 4,
  perplexity: [{ name: 'wiki', fullPrecision: 5, quantized: 6, windows: 1, tokens: 10 }],
  seconds: { learn: 1 },
} as const;

function recorder(): Output & {
  readonly documents: unknown[];
  readonly notes: string[];
  readonly texts: string[];
} {
  const [documents, notes, texts]: [unknown[], string[], string[]] = [[], [], []];
  const paint = (text: string) => text;
  return {
    documents,
    notes,
    texts,
    json: true,
    colors: new Proxy({}, { get: () => paint }) as Output['colors'],
    live: false,
    columns: 80,
    result: (text) => void texts.push(text),
    stream: () => true,
    document: (value) => void documents.push(value),
    note: (text) => void notes.push(text),
    warn: (_, text) => void notes.push(text),
    status: () => {},
  };
}

const DEEP = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
const DAMAGED = [
  ...['{', '{"version":1}', 'null', '[]', '{"version":1,"perplexity":{}}', '{"version":2}'],
  `{"version":${DEEP}}`,
];

test('runs whose results cannot be read are listed with the others, in one document', async (t) => {
  const experiment = await experimentIn(t);
  const bad = DAMAGED.map((text) => {
    const run = createRun(experiment, 'bad');
    writeFileSync(run.path('results'), text);
    run.finish('finished');
    return run.record.id;
  });
  const good = createRun(experiment, 'good');
  good.writeResults(RESULTS);
  good.finish('finished');
  writeFileSync(experiment.source.file, '{ "model": "gone", "calibration": { "text": "gone.txt" } }');
  for (const path of [experiment.runs, experiment.source.file]) {
    const output = recorder();
    await runs(path, output);
    assert.equal(output.documents.length, 1);
    const { runs: listed } = output.documents[0] as {
      runs: { id: string; results: unknown; problem: string | null }[];
    };
    assert.equal(listed.length, bad.length + 1);
    for (const { id, results, problem } of listed) {
      assert.equal(results === null, bad.includes(id), id);
      assert.equal(problem === null, id === good.record.id, id);
      if (problem !== null) assert.match(problem, /results\.json (is not|has version 2|nests lists)/);
    }
    assert.equal(output.notes.length, bad.length);
    assert.match(output.texts.join(), /results\.json is damaged/);
  }
});

test('results and activations are checked; what later writers added stays', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  writeFileSync(
    run.path('results'),
    JSON.stringify({ ...RESULTS, loss: { first: null, last: 2 }, extra: 1 }),
  );
  const results = await run.readResults();
  assert.ok(Number.isNaN(results.loss?.first), 'a loss that is not known');
  assert.deepEqual((results as { extra?: number }).extra, 1);
  writeFileSync(run.path('results'), JSON.stringify({ ...RESULTS, steps: 'four' }));
  await assert.rejects(run.readResults(), { code: 'runs/damaged', message: /results\.json .*: steps: / });
  writeFileSync(run.path('activations'), '{"version":1,"bits":"","axis":"","sites":[{"layer":0}]}');
  await assert.rejects(run.readActivations(), { code: 'runs/damaged', message: /sites\.0\.site: / });
});

test('a record of a later version is said to be one, not to be damaged', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  writeFileSync(run.path('run'), JSON.stringify({ ...run.record, version: 2 }));
  await assert.rejects(openRun(run.dir), {
    code: 'runs/version',
    message: /version 2/,
    hint: /Use the version/,
  });
  writeFileSync(run.path('run'), JSON.stringify({ ...run.record, bits: 4 }));
  await assert.rejects(openRun(run.dir), { code: 'runs/damaged', message: /bits: / });
});

const numbers = async (run: Run) =>
  (await run.readEvents()).map((event) =>
    event.type === 'step' || event.type === 'checkpoint' ? event.step : event.type,
  );

test('steps that are done again are dropped wherever they stand, and nothing else', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const phase = timed({ type: 'phase', phase: 'learn', state: 'started' });
  for (const event of [
    phase,
    step(1),
    step(2),
    timed({ type: 'checkpoint', step: 2 }),
    phase,
    step(3),
    phase,
  ])
    run.appendEvent(event);
  run.dropStepsAfter(2);
  assert.deepEqual(await numbers(run), ['phase', 1, 2, 2, 'phase', 'phase']);
  run.appendEvent(step(3));
  run.dropStepsAfter(0);
  assert.deepEqual(await numbers(run), ['phase', 'phase', 'phase']);
});

test('an event that nests too deep is a line that cannot be read, and the others stay', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.appendEvent(step(1));
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;
  appendFileSync(run.path('events'), `{"type":"checkpoint","time":"2026-01-01","step":1,"x":${deep}}\n`);
  run.appendEvent(step(2));
  const types = (await run.readEvents()).map(({ type }) => type);
  assert.deepEqual(types, ['step', 'warning', 'step']);
});

/** One event of every type, so that a new one cannot be forgotten in the schema. */
const EVERY: { readonly [T in RunEvent['type']]: Extract<RunEvent, { type: T }> } = {
  'run-started': timed({
    type: 'run-started',
    job: 'optimize',
    run: null,
    bits: '',
    runtime: '',
    resumedFromStep: 0,
  }),
  phase: timed({ type: 'phase', phase: 'preserve-check', state: 'finished', detail: 'x', seconds: 1 }),
  'import-progress': timed({ type: 'import-progress', tensorsDone: 1, tensors: 2, bytesDone: 4, bytes: 8 }),
  'download-progress': timed({
    type: 'download-progress',
    name: 'org/name',
    file: 'model.safetensors',
    bytesDone: 1,
    bytes: 2,
  }),
  preservation: timed({
    type: 'preservation',
    where: 'R1',
    maxLogitDifference: 1,
    relative: 1,
    tolerance: 1,
  }),
  step: step(1) as Extract<RunEvent, { type: 'step' }>,
  checkpoint: timed({ type: 'checkpoint', step: 1 }),
  scaling: timed({
    type: 'scaling',
    method: 'smoothquant',
    layer: 0,
    layers: 2,
    choices: [{ seam: 'attention-norm', alpha: 0.45, error: 0.01 }],
    seconds: 1,
  }),
  'training-progress': timed({
    type: 'training-progress',
    method: 'llm-qat',
    work: 'train',
    done: 1,
    of: 2,
    loss: 0.5,
  }),
  'rounding-progress': timed({
    type: 'rounding-progress',
    method: 'gptq',
    layersDone: 1,
    layers: 2,
    done: 0.5,
  }),
  rounding: timed({
    type: 'rounding',
    method: 'gptq',
    layer: 0,
    layers: 2,
    errors: [{ linear: 'q', error: 0.1, nearest: 0.2 }],
    seconds: 1,
  }),
  'evaluation-progress': timed({
    type: 'evaluation-progress',
    name: 'wiki',
    variant: 'quantized',
    windowsDone: 1,
    windows: 2,
    runningPerplexity: 5,
  }),
  evaluation: timed({
    type: 'evaluation',
    name: 'wiki',
    variant: 'full-precision',
    perplexity: 5,
    windows: 2,
    tokens: 10,
    seconds: 1,
  }),
  'task-progress': timed({
    type: 'task-progress',
    task: 'piqa',
    variant: 'quantized',
    questionsDone: 1,
    questions: 2,
    runningAccuracy: 0.5,
  }),
  task: timed({
    type: 'task',
    task: 'piqa',
    variant: 'full-precision',
    scores: { acc: { value: 0.5, standardError: 0.5 }, accNorm: null },
    questions: 2,
    limit: null,
    seconds: 1,
  }),
  statistics: timed({ type: 'statistics', file: '', layers: 2, sites: 14, seconds: 1 }),
  cell: timed({
    type: 'cell',
    state: 'started',
    cell: 1,
    cells: 2,
    bits: '4-4-4',
    method: 'rtn',
    title: 'RTN',
    seed: 0,
    seeded: false,
    run: null,
  }),
  submitted: timed({ type: 'submitted', job: 12, tasks: 4, limit: 2 }),
  queue: timed({ type: 'queue', running: 1, pending: 2, reasons: ['Priority'], cells: 4, settled: 1 }),
  warning: timed({ type: 'warning', message: 'x', hint: '' }),
  'run-finished': timed({ type: 'run-finished', status: 'failed', seconds: 1, message: 'x' }),
};

test('every event is read as it was written', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  for (const event of Object.values(EVERY)) run.appendEvent(event);
  assert.deepEqual(await run.readEvents(), Object.values(EVERY));
});

test('an event that does not fit on the disk leaves no part of its line', {
  skip: process.platform !== 'linux' && 'needs a limit on file sizes',
}, async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.appendEvent(step(1));
  run.close();
  const path = join(run.dir, 'events.jsonl');
  const LIMIT = 256 * 1024;
  const line = readFileSync(path, 'utf8');
  appendFileSync(path, line.repeat(Math.floor((LIMIT - 20) / line.length) - 1));
  const before = readFileSync(path, 'utf8');
  const code = `
    const { EventLog } = await import('${new URL('../../src/runs/index.ts', import.meta.url).href}');
    try {
      new EventLog(${JSON.stringify(path)}).append(${JSON.stringify(step(2))});
    } catch (error) {
      console.log(error.code);
    }`;
  // The limit makes the first write short and the second fail, as a disk does that gets full.
  const { stdout } = spawnSync(
    'bash',
    [
      '-c',
      `trap '' XFSZ; ulimit -f ${LIMIT / 1024}; exec "$0" --import tsx --input-type=module -e "$1"`,
      process.execPath,
      code,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(stdout.trim(), 'file/unwritable');
  assert.ok(readFileSync(path, 'utf8') === before, 'not a byte of it is left');
  assert.ok((await readEvents(path)).every(({ type }) => type === 'step'));
});

test('activations of a layer beyond any model are refused: a view would make a place for each before it', async (t) => {
  const run = createRun(await experimentIn(t), 'layers');
  const side = {
    histogram: { min: -1, max: 1, counts: [1] },
    channelMaxima: [1],
    kurtosis: 3,
    sqnrDb: null,
    rms: 1,
    maxAbs: 1,
    tokens: 1,
  };
  const write = (layer: number) =>
    run.writeActivations({
      version: 1,
      bits: 'W4A4KV4',
      axis: 'value',
      sites: [{ layer, site: 'query', rotation: [], before: side, after: side }],
    });
  write(31);
  assert.equal((await run.readActivations()).sites[0]?.layer, 31);
  write(2 ** 31);
  await assert.rejects(run.readActivations(), { code: 'runs/damaged' });
  run.finish('finished');
});
