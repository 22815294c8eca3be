import assert from 'node:assert/strict';
import test from 'node:test';
import { ExperimentError } from '../../src/config/index.ts';
import { countCells, MatrixCells, runsOfMatrix } from '../../src/extension/experiments/matrix-cells.ts';
import { Run } from '../../src/runs/index.ts';
import { FILE, summary, TEXTS } from './run-fixture.ts';

const MATRIX = { bits: ['4-4-4'], methods: ['rtn', 'hadamard-had-rtn'], seeds: [0, 1] };
const text = JSON.stringify({ ...TEXTS, matrix: MATRIX });

function matrixOf(cells: MatrixCells) {
  const reading = cells.of(text, FILE);
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

test('done are the cells with a finished run of the same settings, in the folder or of the file', () => {
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
    countCells(matrix, runs),
    { done: 1, total: 4 },
    'a run of another folder and file is none',
  );
  assert.deepEqual(countCells(matrix, [...runs, runOf(3, 'finished')]), { done: 2, total: 4 });
  assert.deepEqual(
    runsOfMatrix(matrix.experiment, [summary({ id: 'own' }).run]),
    [],
    'a run of its own is no cell',
  );
});
