import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ExperimentError } from '../../src/config/index.ts';
import { MatrixCells, runsOfMatrix } from '../../src/extension/experiments/matrix-cells.ts';
import { MatrixFiles } from '../../src/extension/experiments/matrix-files.ts';
import type { CellReasons } from '../../src/protocol/worker.ts';
import { Run } from '../../src/runs/index.ts';
import { FILE, summary, TEXTS } from './run-fixture.ts';

const MATRIX = { bits: ['4-4-4'], methods: ['rtn', 'hadamard-had-rtn'], seeds: [0, 1] };
const textOf = (matrix: object) => JSON.stringify({ ...TEXTS, matrix });
const text = textOf(MATRIX);

function matrixOf(cells: MatrixCells, of = text, file = FILE) {
  const reading = cells.of(of, file);
  assert.ok(reading !== null && !(reading instanceof ExperimentError));
  return reading;
}

test('a text is expanded once; one without a matrix, or with faults, is told apart', () => {
  const cells = new MatrixCells();
  const first = matrixOf(cells);
  // Full precision, RTN, and two draws of the Hadamard rotation.
  assert.deepEqual(
    first.cells.map(({ method, seed }) => `${method} ${seed}`),
    ['fp 0', 'rtn 0', 'hadamard-had-rtn 0', 'hadamard-had-rtn 1'],
  );
  assert.equal(matrixOf(cells), first);
  assert.equal(cells.of(JSON.stringify(TEXTS), FILE), null);
  assert.ok(cells.of(JSON.stringify({ ...TEXTS, matrix: { bits: 4 } }), FILE) instanceof ExperimentError);
});

function filesOf(runs: readonly Run[], reasons: CellReasons = {}): MatrixFiles {
  return new MatrixFiles({ runs: { list: () => runs }, reasons: { of: () => reasons }, log: { warn() {} } });
}

test('done are the cells with a finished run of the same settings, in the folder or of the file', async () => {
  const matrix = matrixOf(new MatrixCells());
  const runOf = (index: number, status: 'finished' | 'failed', dir?: string) => {
    const { bits, method, title, seed, seeded, key } = matrix.cells[index]!;
    const { run } = summary({ id: `cell-${index}`, status });
    const cell = { bits, method, title, seed, seeded, key, inputs: null };
    return new Run(dir ?? run.dir, { ...run.record, cell });
  };
  const elsewhere = runOf(3, 'finished', '/other/.spinquant/runs/cell-3');
  const runs = [runOf(0, 'finished'), runOf(0, 'finished'), runOf(1, 'failed'), elsewhere];
  assert.deepEqual(
    await filesOf(runs).count(FILE, text),
    { done: 1, total: 4 },
    'a run of another folder and file is none',
  );
  assert.deepEqual(await filesOf([...runs, runOf(3, 'finished')]).count(FILE, text), { done: 2, total: 4 });
  assert.deepEqual(
    runsOfMatrix(matrix.experiment, [summary({ id: 'own' }).run]),
    [],
    'a run of its own is no cell',
  );
});

test('cells that stay empty are not counted, whether the settings or the model rule them out', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-count-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'table.spinquant.json');
  // QuIP# rounds weights alone: of its two cells one stays empty.
  const matrix = { bits: ['4-16-16', '4-4-4'], methods: ['rtn', 'quip'] };
  writeFileSync(file, textOf(matrix));
  assert.deepEqual(await filesOf([]).count(file), { done: 0, total: 4 });
  const { cells } = matrixOf(new MatrixCells(), textOf(matrix), file);
  assert.equal(cells.length, 5);
  const { key } = cells.find(({ method }) => method === 'rtn')!;
  const ruledOut = filesOf([], { [key]: 'the model has 3 heads.' });
  assert.deepEqual(await ruledOut.count(file), { done: 0, total: 3 });
  writeFileSync(file, JSON.stringify(TEXTS));
  assert.equal(await filesOf([]).count(file), null, 'without a matrix there is no table');
});
