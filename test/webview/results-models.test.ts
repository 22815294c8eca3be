import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import test from 'node:test';
import { type Experiment, experimentSchema } from '../../src/config/index.ts';
import { flatSettings, methodName, paperBits } from '../../src/extension/panels/results/method.ts';
import { type ColumnModel, commonFacts, sortRows } from '../../webview/results/columns.ts';
import { parseFilter } from '../../webview/results/filter.ts';
import { bestRows, pivots } from '../../webview/results/pivot.ts';
import { type ResultRow, resultRows } from '../../webview/results/rows.ts';
import { changedColumns, columnsOf, strings, table } from './result-tables.ts';
import { resultsOf } from './states.ts';

type Input = Parameters<typeof experimentSchema.parse>[0];
const experiment = (rest: object) => experimentSchema.parse({ model: 'm', ...rest } as Input);

test('experiments are called what papers call them', () => {
  const cases: readonly [object, string][] = [
    [{}, 'SpinQuant had + RTN'],
    [{ rotation: { r3: false, r4: false } }, 'SpinQuant no_had + RTN'],
    [{ rotation: { r3: false } }, 'SpinQuant had R4 + RTN'],
    [{ rotation: { r2: 'none' } }, 'SpinQuant had R1 only + RTN'],
    [{ rotation: { r1: 'none', r2: 'none', r3: false, r4: false } }, 'RTN'],
    [{ rotation: { r1: 'hadamard', r2: 'hadamard' } }, 'Hadamard R1–R4 + RTN'],
    [{ rotation: { r1: 'hadamard', r2: 'hadamard', acrossHeads: true } }, 'QuaRot + RTN'],
    [{ rotation: { acrossHeads: true } }, 'SpinQuant had H + RTN'],
    [{ rotation: { r1: 'random', r2: 'none', r3: false, r4: false } }, 'Random R1 + RTN'],
    [{ quantization: { weights: { bits: 16 } } }, 'SpinQuant had'],
    [{ rotation: { start: 'random' } }, 'SpinQuant had + RTN'],
    [{ rotation: { start: 'captured' } }, 'SpinQuant (captured start) had + RTN'],
    [{ rotation: { learning: { objective: 'peak' } } }, 'Learned (peak) had + RTN'],
    [{ quantization: { weights: { method: 'gptq' } } }, 'SpinQuant had + GPTQ'],
  ];
  for (const [settings, expected] of cases) assert.equal(methodName(experiment(settings)), expected);
  assert.equal(paperBits(experiment({ quantization: { keys: { bits: 8 } } }).quantization), '4-4-K8V4');
});

test('settings are flat, in the order of the schema, and JSON values only', () => {
  const settings = flatSettings(experiment({ evaluation: { perplexity: [{ name: 'w', text: 't' }] } }));
  assert.equal(settings['evaluation.perplexity.0.name'], 'w');
  assert.equal(settings['calibration.text'], null);
  assert.equal(settings['rotation.r3'], true);
  assert.ok(Object.keys(settings).indexOf('model') < Object.keys(settings).indexOf('rotation.r1'));
});

/** Rows that a filter keeps, by what they say in all. */
function filterRows(rows: readonly ResultRow[], columns: readonly ColumnModel[], text: string): ResultRow[] {
  const words = (row: ResultRow) =>
    [...columns.map(({ show }) => show(row)), row.run.bits].join('\n').toLowerCase();
  return rows.filter(parseFilter(text, columns, words).keep);
}

test('where one result is of the deployed network, a column says which products were of whole numbers', async (t) => {
  const { rows, columns } = await table(t);
  const titles = (models: typeof columns) => models.map(({ id }) => id);
  assert.ok(!titles(columns).includes('products'), 'none of them is');
  const [first, ...others] = rows;
  const deployed = { ...first!, text: { ...first!.text, integer: ['q', 'down'] } };
  const shown = changedColumns([deployed, ...others]).find(({ id }) => id === 'products');
  assert.deepEqual(
    [deployed, others[0]!].map((row) => shown?.show(row)),
    ['integer matmul', 'simulated'],
  );
});

test('the whole table sorts by any column; rows without a value stay last', async (t) => {
  const { rows, columns } = await table(t);
  const order = (column: string, descending: boolean, of = rows) =>
    sortRows(of, columns, { column, descending }).map(({ text }) => text.quantized);
  const values = order('quantized', false);
  assert.deepEqual(
    values,
    values.toSorted((a, b) => a! - b!),
  );
  assert.deepEqual(order('quantized', true), values.toReversed());
  const holed = rows.map((row, index) =>
    index === 3 ? { ...row, text: { ...row.text, quantized: null } } : row,
  );
  assert.equal(order('quantized', false, holed).at(-1), null);
  assert.equal(order('quantized', true, holed).at(-1), null);
  const bits = sortRows(rows, columns, { column: 'bits', descending: false }).map(({ run }) => run.paperBits);
  assert.deepEqual(
    [...new Set(bits)],
    ['4-8-16', '4-8-8', '4-4-16', '4-4-4'],
    'many bits first, as papers print',
  );
  const seeds = sortRows(rows, columns, { column: 'rotation.seed', descending: true });
  assert.equal(seeds[0]!.run.settings['rotation.seed'], 2);
});

test('the filter finds rows in which every word occurs', async (t) => {
  const { rows, columns } = await table(t);
  assert.equal(filterRows(rows, columns, 'spinquant 4-4-4').length, 4);
  assert.equal(filterRows(rows, columns, 'W4A4KV4 NO_HAD').length, 1);
  assert.equal(filterRows(rows, columns, '  ').length, rows.length);
  assert.equal(filterRows(rows, columns, 'nothing-like-it').length, 0);
});

test('only what differs: columns that tell rows apart, the rest said once', async (t) => {
  const { rows, columns } = await table(t);
  const changed = changedColumns(rows);
  const ids = changed.map(({ id }) => id);
  for (const id of ['method', 'bits', 'quantized', 'delta', 'rotation.r1', 'rotation.seed'])
    assert.ok(ids.includes(id), id);
  for (const id of ['model', 'text', 'windows', 'rotation.learning.steps', 'quantization.activations.bits'])
    assert.ok(!ids.includes(id), id);
  assert.ok(columns.length > 3 * changed.length);
  const facts = commonFacts(rows, columns, changed);
  assert.equal(facts, 'full precision 5.472 · model llama-2-7b · text wikitext2 · windows 141');
});

test('the pivot prints methods × bits, weakest first, seeds as mean ± deviation', async (t) => {
  const { rows, words } = await table(t);
  const [pivot, ...others] = pivots(rows, words);
  assert.equal(others.length, 0);
  assert.deepEqual(pivot!.bits, ['4-8-16', '4-8-8', '4-4-16', '4-4-4']);
  assert.deepEqual(
    pivot!.methods.map(({ name }) => name),
    ['RTN', 'SpinQuant no_had + RTN', 'Hadamard R1–R4 + RTN', 'SpinQuant had + RTN'],
  );
  const cell = pivot!.methods[3]!.cells[3]!;
  // 5.944, 5.975, 6.006: mean 5.975, deviation 0.031.
  assert.equal(cell.text, '5.975 ± 0.031');
  assert.equal(cell.delta, '+0.503');
  assert.equal(cell.from, '3 seeds');
  assert.ok(cell.best);
  assert.ok(!pivot!.methods[0]!.cells[3]!.best);
  assert.ok(!pivot!.methods[3]!.cells[0]!.best, 'one draw has no known spread');
  assert.match(
    pivot!.notes.at(-1)!,
    /^No best is marked at 4-8-16, 4-8-8, 4-4-16: the best row drew by one seed/,
  );
});

test('runs that differ in more than seeds are not averaged; other texts are other tables', async (t) => {
  const { rows, words } = await table(t);
  const had = rows.filter(({ run }) => run.method === 'SpinQuant had + RTN' && run.paperBits === '4-4-4');
  const longer = had.map((row, index) => (index === 0 ? withSteps(row, 800) : row));
  const [pivot] = pivots(longer, { strings, deciding: ['rotation.learning.steps', 'rotation.seed'] });
  assert.deepEqual(
    pivot!.methods.map(({ name, detail, cells }) => [name, detail, cells[0]!.text, cells[0]!.from]),
    [
      ['SpinQuant had + RTN', 'steps 800', '6.006', ''],
      ['SpinQuant had + RTN', 'steps 100', '5.960 ± 0.022', '2 seeds'],
    ],
    'another setting is another row: no best of several stands beside a mean',
  );
  const shorter = rows.map((row, index) => (index < 2 ? { ...row, text: { ...row.text, windows: 9 } } : row));
  assert.equal(pivots(shorter, words).length, 2);
});

/** The same run, as if it had learned for so many steps. */
function withSteps(row: ResultRow, steps: number): ResultRow {
  const { settings, sample } = row.run;
  return {
    ...row,
    run: {
      ...row.run,
      settings: { ...settings, 'rotation.learning.steps': steps },
      sample: { ...sample, variant: `${sample.variant} ${steps}` },
    },
  };
}

test('nothing within the spread of its neighbour is the best', async (t) => {
  const { rows, words } = await table(t);
  const seeds = rows.filter(({ run }) => run.method === 'SpinQuant had + RTN' && run.paperBits === '4-4-4');
  const near = (distance: number) =>
    seeds.map((row) => {
      const other = withSteps(row, 50);
      return { ...other, text: { ...other.text, quantized: row.text.quantized! + distance } };
    });
  // The deviation of both is 0.031.
  const best = (distance: number) => {
    const all = [...seeds, ...near(distance)];
    const marked = pivots(all, words)[0]!.methods.map(({ cells }) => cells[0]!.best);
    return [marked.filter(Boolean).length, bestRows(all).size];
  };
  assert.deepEqual(best(0.03), [0, 0]);
  assert.deepEqual(best(0.04), [1, 3], 'all seeds of the best setting are');
});

test('rotations that are measured again are no other sample', async (t) => {
  const { dirs } = await table(t);
  // Three seeds of the last cell; the second was evaluated twice more, in runs of their own, on more texts.
  const seeds = [dirs[15]!, dirs[16]!, dirs[17]!];
  const again = [200, 300].map((minutes) =>
    copyRun(seeds[1]!, minutes, (experiment) => {
      const [first] = experiment.evaluation.perplexity;
      experiment.evaluation.perplexity.push({ ...first!, name: 'more' });
      experiment.threads = 3;
    }),
  );
  const state = await resultsOf([...seeds, ...again]);
  const samples = state.runs.map(({ sample }) => sample);
  assert.equal(
    new Set(samples.map(({ variant }) => variant)).size,
    1,
    'seeds, texts and threads are no settings',
  );
  assert.equal(new Set(samples.map(({ rotations }) => rotations)).size, 3);
  const cellOf = (runs: typeof state.runs) =>
    pivots(resultRows({ ...state, runs }), state)[0]!.methods[0]!.cells[0]!;
  const cell = cellOf(state.runs);
  assert.deepEqual([cell.text, cell.from], ['5.975 ± 0.031', '3 seeds']);
  assert.equal(cell.rows.length, 5, 'all runs stand behind it');
  const alone = cellOf(state.runs.filter(({ dir }) => ![seeds[0], seeds[2]].includes(dir)));
  assert.deepEqual([alone.text, alone.from], ['5.975', ''], 'one measurement');
  const unnamed = copyRun(seeds[1]!, 400, () => {}, { rotationsOf: undefined });
  const old = await resultsOf([...seeds, unnamed]);
  const [mixed] = pivots(resultRows(old), old)[0]!.methods[0]!.cells;
  assert.equal(mixed!.from, '3 seeds', 'runs of before do not tell whose rotations they measured');
  const copied = copyRun(seeds[1]!, 500, () => {}, { rotationsOf: undefined });
  for (const dir of [...seeds, copied]) writeRotations(dir, dir === copied ? seeds[1]! : dir);
  const known = await resultsOf([...seeds, copied]);
  assert.equal(
    new Set(known.runs.map(({ sample }) => sample.rotations)).size,
    3,
    'rotations tell themselves',
  );
});

/** A file of rotations with the numbers of a run, and what it says of itself before. */
function writeRotations(dir: string, numbers: string): void {
  const header = Buffer.from(JSON.stringify({ __metadata__: { run: dir } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(join(dir, 'rotations.safetensors'), Buffer.concat([length, header, Buffer.from(numbers)]));
}

test('an experiment without learned rotations, measured again, is one sample', async (t) => {
  const { dirs } = await table(t);
  const rtn = dirs[3]!;
  const state = await resultsOf([rtn, copyRun(rtn, 200, () => {}, { rotationsOf: undefined })]);
  const [cell] = pivots(resultRows(state), state)[0]!.methods[0]!.cells;
  assert.equal(cell!.from, '');
});

test('too large for a number is neither missing nor the best', async (t) => {
  const { dirs } = await table(t);
  const overflow = { fullPrecision: 1.7, quantized: 812.4 };
  const huge = copyRun(dirs[3]!, 200, () => {}, {
    perplexity: [
      {
        name: 'wikitext2',
        fullPrecision: 5.472,
        quantized: null,
        meanLoss: overflow,
        windows: 141,
        tokens: 1,
      },
    ],
  });
  const state = JSON.parse(JSON.stringify(await resultsOf([huge]))) as Awaited<ReturnType<typeof resultsOf>>;
  const [row] = resultRows(state);
  assert.deepEqual([row!.text.quantized, row!.delta], [Number.POSITIVE_INFINITY, null], 'through JSON');
  const columns = columnsOf([row!]);
  const shown = (id: string) => columns.find((column) => column.id === id)!.show(row!);
  assert.deepEqual([shown('quantized'), shown('delta'), shown('fullPrecision')], ['> 1e308', '–', '5.472']);
  assert.equal(bestRows([row!]).size, 0);
  const [cell] = pivots([row!], state)[0]!.methods[0]!.cells;
  assert.deepEqual([cell!.text, cell!.delta, cell!.best], ['> 1e308', '–', false]);
  const others = await resultsOf([dirs[7]!, huge]);
  const [weakest] = pivots(resultRows(others), others)[0]!.methods;
  assert.equal(weakest!.name, 'RTN', 'it is the weakest of all');
});

/** A run that measured again what another did, some minutes later. */
function copyRun(
  dir: string,
  minutes: number,
  change: (experiment: Experiment) => void,
  results: object = { rotationsOf: { run: basename(dir), seed: 1 } },
): string {
  const copy = `${dir}-evaluate-${minutes}`;
  cpSync(dir, copy, { recursive: true });
  const edit = <T extends object>(file: string, patch: (value: T) => T) => {
    const path = join(copy, file);
    writeFileSync(path, JSON.stringify(patch(JSON.parse(readFileSync(path, 'utf8')) as T)));
  };
  edit<{ startedAt: string }>('run.json', (record) => ({
    ...record,
    id: basename(copy),
    startedAt: new Date(Date.parse(record.startedAt) + 60_000 * minutes).toISOString(),
  }));
  edit<Experiment>('experiment.json', (experiment) => {
    change(experiment);
    return experiment;
  });
  edit('results.json', (value) => ({ ...value, ...results }));
  return copy;
}
