/** Why cells of a table stay empty: told before anything runs, and no more of them than must. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { loadExperiment, obstaclesOf, previewMatrix, runMatrix } from '../../src/engine/index.ts';
import { collectCells, formatMatrix, TABLE_FORMATS, tableOf } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const FILE = join(folder, 'matrix.spinquant.json');
const KERNELS = { kernels: 'composed' } as const;

function write(matrix: object, quantization: object = {}): Promise<ResolvedExperiment> {
  const text = {
    model: 'model',
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows: 1 }] },
    quantization,
    device: 'cpu',
    threads: 1,
    runs: 'matrix-runs',
    matrix,
  };
  writeFileSync(FILE, JSON.stringify(text));
  return loadExperiment(FILE, 'optimize');
}

test('a table says of a cell that only the model rules out what the plan says, in every format', async () => {
  const experiment = await write({
    bits: ['4-4-4', '16-4-4'],
    methods: ['rtn', 'groups'],
    rows: [{ name: 'groups', like: 'rtn', settings: { quantization: { weights: { groupSize: 7 } } } }],
  });
  const { cells: planned } = (await collect(previewMatrix(experiment, KERNELS))).result;
  const cells = await collectCells(experiment, await obstaclesOf(experiment));
  assert.deepEqual(
    cells.map(({ bits, method, message }) => [bits, method, message]),
    planned.map(({ bits, method, message }) => [bits, method, message]),
  );
  const empty = cells.filter(({ status }) => status === 'empty');
  assert.deepEqual(
    empty.map(({ bits, method }) => `${bits} ${method}`),
    ['4-4-4 groups'],
    'weights of 16 bits have no groups',
  );
  const reason = 'quantization.weights.groupSize is 7, which does not divide the width 32 of this model.';
  for (const format of TABLE_FORMATS)
    assert.ok(formatMatrix(tableOf(cells), format).includes(reason), format);
});

test('full precision is computed where a group size does not fit the model', async () => {
  const settings = { quantization: { weights: { groupSize: null } } };
  const rows = [{ name: 'whole', like: 'rtn', settings }];
  const matrix = { bits: ['4-16-16'], methods: ['rtn', 'whole'], rows };
  const groups = { weights: { groupSize: 7, clip: false }, activations: { groupSize: 5 } };
  const experiment = await write(matrix, groups);
  const { result } = await collect(runMatrix(experiment, KERNELS));
  assert.deepEqual(
    result.cells.map(({ method, status }) => `${method} ${status}`),
    ['fp finished', 'rtn empty', 'whole finished'],
  );
});

test('the first line names the bits of the table', async () => {
  const preview = previewMatrix(await write({ bits: ['4-8-16', '4-4-4'], methods: ['rtn'] }), KERNELS);
  const { events } = await collect(preview);
  const started = events.find((event) => event.type === 'run-started');
  assert.equal(started?.bits, 'Table of 4-8-16, 4-4-4');
});

test('a table that another process fills can be taken over; that process then stops', async () => {
  const experiment = await write({ bits: ['3-16-16'], methods: ['rtn'] }, { weights: { clip: false } });
  const first = runMatrix(experiment, KERNELS);
  await first.next();
  await assert.rejects(collect(runMatrix(experiment, KERNELS)), (fault: Error & { hint: string }) => {
    assert.match(fault.message, /^A matrix in .*\.steps is at work in process/);
    assert.match(fault.hint, /`spinquant optimize FILE --take-over` takes the folder away/);
    return true;
  });
  const { result } = await collect(runMatrix(experiment, { ...KERNELS, takeOver: true }));
  assert.ok(result.cells.every(({ status }) => status === 'finished'));
  await assert.rejects(collect(first), {
    code: 'runs/taken-over',
    message: /^The table in .*\.steps was taken over by process/,
  });
});

test('a table outlives its model', async () => {
  const experiment = await write({ bits: ['4-4-4'], methods: ['rtn'] });
  assert.deepEqual(await obstaclesOf({ ...experiment, model: join(folder, 'gone') }), {});
});
