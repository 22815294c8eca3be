import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import test from 'node:test';
import { MANY_RUNS, makeManyRuns } from '../../scripts/fixtures/make-many-runs.mts';
import { makeResultRuns } from '../../scripts/fixtures/make-runs.mts';
import type { ComparedLine, ResultsState } from '../../src/protocol/panels/results.ts';
import { resultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { type ActivationsFile, openRun, type SiteRecord } from '../../src/runs/index.ts';
import { allColumns, shownColumns } from '../../webview/results/columns.ts';
import { runsCsv } from '../../webview/results/csv.ts';
import { parseFilter } from '../../webview/results/filter.ts';
import { nextSelection } from '../../webview/results/flat-view.ts';
import { rowGroups } from '../../webview/results/groups.ts';
import { pivots } from '../../webview/results/pivot.ts';
import { type ResultRow, resultRows } from '../../webview/results/rows.ts';
import { shortPaths } from '../../webview/results/short-paths.ts';
import { realRun, resultsOf, runsFolder } from './states.ts';

const strings = resultsStrings((text) => text);

/** Those of 200 runs that have results, oldest first. */
async function manyRuns(t: test.TestContext): Promise<{ dirs: string[]; state: ResultsState }> {
  const all = makeManyRuns(await runsFolder(t));
  assert.equal(all.length, MANY_RUNS);
  const dirs: string[] = [];
  for (const dir of all) if ((await openRun(dir)).record.status === 'finished') dirs.push(dir);
  return { dirs, state: await resultsOf(dirs) };
}

const columnsOf = (rows: readonly ResultRow[]) => allColumns(rows, { strings, locale: 'en', now: 0 });

test('runs are selected up to eight, and then the oldest goes', () => {
  assert.deepEqual(nextSelection(['a', 'b'], 'c', true), ['a', 'b', 'c']);
  assert.deepEqual(nextSelection([...'abcdefgh'], 'i', true), [...'bcdefghi']);
  assert.deepEqual(nextSelection(['a', 'b'], 'a', false), ['b']);
});

test('runs are compared in settings, provenance and outcome', async (t) => {
  const { dirs } = await manyRuns(t);
  const titles = (lines: readonly ComparedLine[]) => lines.map(({ title }) => title);
  const seeds = dirs.filter((dir) => basename(dir).endsWith('spinquant-4-4-4')).slice(0, 5);
  const { comparison } = await resultsOf(dirs, [seeds[0]!, seeds[3]!, seeds[4]!]);
  assert.deepEqual(comparison?.settings, [{ title: 'rotation.seed', values: ['0', '3', '4'] }]);
  assert.deepEqual(comparison.provenance, [
    { title: 'SpinQuant Lab', values: ['0.1.0', '0.1.0', '0.0.9'] },
    { title: 'kernels', values: ['native', 'native', 'composed'] },
  ]);
  assert.deepEqual(titles(comparison.outcome).slice(0, 4), [
    'wikitext2, perplexity',
    'wikitext2, full precision',
    'first loss (nats per token)',
    'last loss (nats per token)',
  ]);
  const [perplexity] = comparison.outcome;
  assert.equal(new Set(perplexity?.values).size, 3);
  const rows = comparison.outcome.find(({ title }) => title === 'max |RRᵀ − I|');
  assert.deepEqual(rows?.values, ['2.0e-7', '2.0e-7', '2.0e-7']);
  const other = dirs.find((dir) => basename(dir).endsWith('peak-4-4-4'))!;
  const { comparison: losses } = await resultsOf(dirs, [seeds[0]!, other]);
  const ofPeak = losses?.outcome.find(({ title }) => title === 'last loss (peak)');
  assert.equal(ofPeak?.values[0], null, 'losses of other objectives stand in lines of their own');
  const { comparison: models } = await resultsOf(dirs, [dirs[0]!, dirs[141]!]);
  assert.ok(titles(models?.provenance ?? []).includes('SHA-256 of the model'));
});

test('the layers of runs with statistics are compared, too', async (t) => {
  const copy = join(await runsFolder(t), 'copy');
  cpSync(realRun(), copy, { recursive: true });
  const path = join(copy, 'activations.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as ActivationsFile;
  const better = ({ after, ...site }: SiteRecord) => ({
    ...site,
    after: { ...after, sqnrDb: after.sqnrDb && after.sqnrDb + 1 },
  });
  writeFileSync(path, JSON.stringify({ ...file, sites: file.sites.map(better) }));
  const { comparison } = await resultsOf([realRun(), copy], [realRun(), copy]);
  const { sites } = file;
  assert.equal(comparison?.layers.length, 1 + Math.max(...sites.map(({ layer }) => layer)));
  const own = sites.filter(({ layer, after }) => layer === 1 && after.sqnrDb !== null);
  const mean = own.reduce((sum, { after }) => sum + after.sqnrDb!, 0) / own.length;
  assert.deepEqual(comparison.layers[1], {
    title: 'layer 1',
    values: [mean.toFixed(1), (mean + 1).toFixed(1)],
  });
});

test('runs with the same settings may differ in what they were made with', async (t) => {
  const dirs = makeResultRuns(await runsFolder(t));
  const same = await resultsOf([dirs[0]!, dirs[1]!], [dirs[0]!]);
  assert.equal(same.comparison, null, 'one alone is not compared');
  const gone = await resultsOf(dirs.slice(0, 16), [dirs[15]!, dirs[16]!]);
  assert.equal(gone.comparison, null);
  assert.deepEqual(gone.remembered.selected, [dirs[15]!]);
});

test('a measurement of other rotations names their run and seed, and is no other sample', async (t) => {
  const { dirs, state } = await manyRuns(t);
  const again = state.runs.filter(({ rotationsOf }) => rotationsOf !== null);
  assert.equal(again.length, 20);
  for (const { rotationsOf, settings } of again) {
    const learner = state.runs.find(({ id }) => id === rotationsOf?.run);
    assert.equal(rotationsOf?.name, learner?.name);
    assert.equal(rotationsOf?.seed, settings['rotation.seed']);
  }
  const cells = pivots(resultRows(state), state).flatMap(({ methods }) =>
    methods.flatMap((one) => one.cells),
  );
  assert.ok(cells.every((cell) => cell === null || cell.spread.n <= 5));
  assert.equal(dirs.length, 189);
});

test('the filter understands conditions on columns', async (t) => {
  const { state } = await manyRuns(t);
  const rows = resultRows(state);
  const columns = columnsOf(rows);
  const found = (text: string) =>
    rows.filter(parseFilter(text, columns, ({ run }) => run.method.toLowerCase()).keep);
  const every = (text: string, holds: (row: ResultRow) => boolean) => {
    const kept = found(text);
    assert.ok(kept.length > 0 && kept.length < rows.length, text);
    assert.deepEqual(kept, rows.filter(holds), text);
  };
  every('seed=1', ({ run }) => run.settings['rotation.seed'] === 1);
  every('ppl<7', ({ text }) => text.quantized! < 7);
  every('ppl>=7', ({ text }) => text.quantized! >= 7);
  every('bits:4-4-4', ({ run }) => run.paperBits === '4-4-4');
  every('bits:4-4', ({ run }) => run.paperBits.includes('4-4'));
  every('-method:spinquant', ({ run }) => !run.method.includes('SpinQuant'));
  every('method="SpinQuant had + GPTQ"', ({ run }) => run.method === 'SpinQuant had + GPTQ');
  every('steps!=100 learning.steps=25', ({ run }) => run.settings['rotation.learning.steps'] === 25);
  every('memory>2.75GiB', ({ run }) => run.peakBytes! > 2.75 * 2 ** 30);
  every('duration<2min', ({ run }) => run.seconds! < 120);
  every(
    'gptq seed=2 ppl<6',
    ({ run, text }) =>
      run.method.includes('GPTQ') && run.settings['rotation.seed'] === 2 && text.quantized! < 6,
  );
  assert.equal(found('http://x').length, 0, 'no column, so a word');
  const unclear = parseFilter('ppl<low gptq', columns, () => 'gptq');
  assert.deepEqual(unclear.unclear, ['ppl<low']);
  assert.equal(rows.filter(unclear.keep).length, 0);
});

test('columns: perplexity second, short headings, losses by objective, and what the person chose', async (t) => {
  const { state } = await manyRuns(t);
  const rows = resultRows(state);
  const all = columnsOf(rows);
  const shown = shownColumns(all, rows, true);
  assert.deepEqual(
    shown.slice(0, 2).map(({ id }) => id),
    ['run', 'quantized'],
  );
  const titles = shown.map(({ title }) => title);
  for (const title of [
    'duration',
    'memory',
    'seed',
    'objective',
    'last loss (nats per token)',
    'last loss (peak)',
  ])
    assert.ok(titles.includes(title), title);
  const peak = all.find(({ id }) => id === 'loss.peak')!;
  for (const row of rows) assert.equal(peak.value(row) === null, row.run.loss?.objective !== 'peak');
  const chosen = shownColumns(all, rows, true, { delta: false, status: true, run: false });
  const ids = chosen.map(({ id }) => id);
  assert.ok(!ids.includes('delta') && ids.includes('status') && ids.includes('run'));
  const paths = ['a.x', 'b.x', 'b.y', 'list.0', 'other.0'];
  assert.deepEqual([...shortPaths(paths).values()], ['a.x', 'b.x', 'y', 'list.0', 'other.0']);
});

test('rows are grouped by experiment', async (t) => {
  const { state } = await manyRuns(t);
  const rows = resultRows(state);
  const groups = rowGroups(rows, true, [rows[0]!.run.experiment.file], strings);
  assert.equal(groups.length, 15);
  assert.deepEqual(
    groups.map(({ folded }) => folded),
    [true, ...Array.from({ length: 14 }, () => false)],
  );
  assert.equal(groups.flatMap((group) => group.rows).length, rows.length);
  assert.match(groups[0]!.title, /^rtn · 4 rows · \d/);
});

test('a text that was learned on is told in its row', async (t) => {
  const folder = await runsFolder(t);
  const dirs = makeResultRuns(folder);
  const data = join(dirname(resolve(folder, '..')), 'data');
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, 'train.txt'), 'the same words');
  writeFileSync(join(data, 'test.txt'), 'other words');
  const seen = async () => (await resultsOf(dirs)).runs.filter(({ texts }) => texts[0]!.seen);
  assert.equal((await seen()).length, 0);
  writeFileSync(join(data, 'test.txt'), 'the same words');
  const told = await seen();
  assert.ok(
    told.length > 0 && told.every(({ method }) => method.startsWith('SpinQuant')),
    'others learn nothing',
  );
  const csv = runsCsv(resultRows(await resultsOf(dirs)));
  assert.match(csv, /learnedOnThisText/);
});
