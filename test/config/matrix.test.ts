/** A matrix becomes cells, each an experiment of its own; its faults stand at the row or the key that they are of. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { cellFaults, cellsOf, type Fault, parseExperiment, ROWS } from '../../src/config/index.ts';
import { MATRIX_PRESETS } from '../../src/config/matrix/presets.ts';

const BASE = {
  model: 'm',
  calibration: { text: 'c' },
  evaluation: { perplexity: [{ name: 'wiki', text: 't' }] },
};

const textOf = (matrix: unknown, more: object = {}): string => JSON.stringify({ ...BASE, ...more, matrix });

function faultsOf(matrix: unknown, more: object = {}): readonly Fault[] {
  return parseExperiment(textOf(matrix, more), 'x.spinquant.json', 'optimize').faults;
}

function cells(matrix: unknown, more: object = {}) {
  const { experiment, written } = parseExperiment(textOf(matrix, more), 'x.spinquant.json', 'optimize');
  assert.ok(experiment?.matrix);
  return cellsOf(written, experiment.matrix);
}

test('cells are full precision, then bits by row by seed; what draws nothing has one seed', () => {
  const found = cells({ bits: ['4-8-16', '4-4-4'], methods: ['rtn', 'hadamard-had-gptq'], seeds: [3, 5] });
  assert.deepEqual(
    found.map(({ bits, method, seed }) => `${bits} ${method} ${seed}`),
    [
      '16-16-16 fp 3',
      ...['4-8-16 rtn 3', '4-8-16 hadamard-had-gptq 3', '4-8-16 hadamard-had-gptq 5'],
      ...['4-4-4 rtn 3', '4-4-4 hadamard-had-gptq 3', '4-4-4 hadamard-had-gptq 5'],
    ],
  );
  const { quantization, rotation, calibration, matrix } = found[3]!.experiment;
  const { weights, activations, keys, values } = quantization;
  assert.deepEqual([weights.bits, activations.bits, keys.bits, values.bits], [4, 8, 16, 16]);
  assert.deepEqual([rotation.r1, rotation.r4, weights.method, rotation.seed], ['hadamard', true, 'gptq', 5]);
  assert.deepEqual([calibration.seed, matrix], [5, undefined]);
});

test('settings of the experiment hold in its cells, and defaults follow the settings of the cell', () => {
  const more = { quantization: { weights: { groupSize: 32 } }, rotation: { learning: { batchSize: 3 } } };
  const found = cells({ bits: ['4-4-4'], methods: ['spinquant-had-gptq', 'peak-gptq'] }, more);
  const learning = found.slice(1).map(({ experiment }) => experiment.rotation.learning);
  assert.deepEqual(
    learning.map(({ objective, steps, batchSize }) => [objective, steps, batchSize]),
    [
      ['cross-entropy', 100, 3],
      ['peak', 200, 3],
    ],
  );
  assert.ok(found.every(({ experiment }) => experiment.quantization.weights.groupSize === 32));
});

test('a row of your own begins with the row that it is like', () => {
  const rows = [{ name: 'mine', title: 'Mine', like: 'peak-gptq', settings: { rotation: { r4: false } } }];
  const [, mine] = cells({ bits: ['4-4-4'], methods: ['mine'], rows });
  assert.equal(mine?.title, 'Mine');
  const { rotation, quantization } = mine!.experiment;
  assert.deepEqual(
    [rotation.learning.objective, rotation.r3, rotation.r4, quantization.weights.method],
    ['peak', true, false, 'gptq'],
  );
});

test('every preset and every row makes cells without a fault of its own', () => {
  for (const preset of Object.keys(MATRIX_PRESETS)) {
    const errors = faultsOf({ preset }).filter(({ severity }) => severity === 'error');
    assert.deepEqual(errors, [], preset);
    assert.ok(cells({ preset }).length > 2, preset);
  }
  const all = cells({ bits: ['4-4-4'], methods: ROWS.map(({ name }) => name) });
  assert.equal(new Set(all.map(({ method }) => method)).size, ROWS.length + 1);
});

test('what a preset fills in gives way to what is written', () => {
  const found = cells({ preset: 'table1', bits: ['4-4-4'], methods: ['rtn'] });
  assert.deepEqual(
    found.map(({ method }) => method),
    ['fp', 'rtn'],
  );
});

test('unknown rows and bits, repetitions and nothing to fill are errors at their place', () => {
  const matrix = {
    bits: ['4-4', '4-4-4', '4-4-4'],
    methods: ['rtn', 'gptqq', 'rtn'],
    rows: [{ name: 'gptq' }, { name: 'mine', like: 'quarott' }],
  };
  assert.deepEqual(
    faultsOf(matrix).map(({ code, path }) => `${code} ${path.join('.')}`),
    [
      'config/bits matrix.bits.0',
      'config/same-name matrix.bits.2',
      'config/unknown-row matrix.methods.1',
      'config/same-name matrix.methods.2',
      'config/same-name matrix.rows.0.name',
      'config/unlisted-row matrix.rows.1.name',
      'config/unknown-row matrix.rows.1.like',
    ],
  );
  const [empty] = faultsOf({ bits: ['4-4-4'] });
  assert.match(empty?.message ?? '', /^matrix\.methods: is empty/);
  const nothing = faultsOf({ bits: ['4-4-4'], methods: ['rtn'] }, { evaluation: {} });
  assert.deepEqual(
    nothing.map(({ code, severity }) => `${code} ${severity}`),
    ['config/no-evaluation error'],
  );
});

test('a row that cannot be computed is a warning at the row, and an error where no cell is left', () => {
  const noText = { calibration: {} };
  const [gptq, ...others] = faultsOf({ bits: ['4-8-8', '4-4-4'], methods: ['rtn', 'gptq'] }, noText);
  assert.deepEqual(others, []);
  assert.equal(gptq?.severity, 'warning');
  assert.deepEqual(gptq?.path, ['matrix', 'methods', 1]);
  assert.match(gptq?.message ?? '', /GPTQ stays empty at 4-8-8, 4-4-4: calibration\.text: GPTQ needs a text/);
  const alone = faultsOf({ bits: ['4-4-4'], methods: ['gptq'] }, noText);
  assert.deepEqual(
    alone.map(({ severity, code }) => `${code} ${severity}`),
    ['config/empty-cell error'],
  );
});

test('what leaves a cell empty is marked at the setting that does it, once for all rows', () => {
  const cellsWith = (settings: object, more: object = {}) => {
    const rows = [{ name: 'mine', title: 'Mine', like: 'gptq', settings }];
    const matrix = { bits: ['4-8-8', '4-4-4'], methods: ['rtn', 'gptq', 'mine'], rows };
    const { written, experiment } = parseExperiment(textOf(matrix, more), 'x.spinquant.json', 'optimize');
    assert.ok(experiment?.matrix);
    const path = ['quantization', 'weights', 'groupSize'];
    const reason = (size: number | null) => ({ path, message: `size ${size}`, hint: 'Mend it.' });
    return cellFaults(cellsOf(written, experiment.matrix), written, (cell) => {
      const { groupSize } = cell.experiment.quantization.weights;
      return groupSize === null || cell.method === 'fp' ? [] : [reason(groupSize)];
    });
  };
  const weights = (groupSize: number) => ({ quantization: { weights: { groupSize } } });
  assert.deepEqual(
    cellsWith(weights(50)).map(({ severity, message }) => `${severity} ${message}`),
    [
      'warning matrix.rows[0].settings.quantization.weights.groupSize: Mine stays empty at 4-8-8, 4-4-4: size 50',
    ],
  );
  assert.deepEqual(
    cellsWith({}, weights(50)).map(({ severity, message }) => `${severity} ${message}`),
    ['error quantization.weights.groupSize: RTN, GPTQ, Mine stay empty at 4-8-8, 4-4-4: size 50'],
  );
});

test('an unknown row is told the nearest ones, also where only its first part is written', () => {
  const hintOf = (name: string) => faultsOf({ bits: ['4-4-4'], methods: [name] })[0]?.hint;
  const list = 'Completion lists the rows, as "spinquant schema" and docs/matrix.md do.';
  assert.equal(hintOf('gptqq'), `Did you mean "gptq"? ${list}`);
  assert.equal(hintOf('quarot'), `Did you mean "quarot-rtn" or "quarot-gptq"? ${list}`);
  assert.match(
    hintOf('spinqant') ?? '',
    /^Did you mean "spinquant-had-rtn", "spinquant-had-gptq", "spinquant-nohad-rtn" or "spinquant-nohad-gptq"\?/,
  );
  assert.equal(hintOf('zzzzzzzz'), list);
});

test('the page on tables names every row and every preset', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'matrix.md'), 'utf8');
  for (const name of [...ROWS.map((row) => row.name), ...Object.keys(MATRIX_PRESETS)])
    assert.ok(page.includes(`\`${name}\``), name);
});
