/** The table of a matrix: spread, what is best, formats, and published values beside it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { matrixTable } from '../../src/cli/matrix-table.ts';
import {
  formatMatrix,
  publishedFor,
  spreadOf,
  type TableCell,
  tableOf,
  withoutPublished,
} from '../../src/runs/index.ts';

function cell(method: string, seed: number, value: number | null, more: Partial<TableCell> = {}): TableCell {
  const perplexity = [{ name: 'wiki', fullPrecision: 5, quantized: value, windows: 2, tokens: 10 }];
  return {
    bits: '4-4-4',
    method,
    title: method.toUpperCase(),
    seed,
    seeded: true,
    status: value === null ? 'missing' : 'finished',
    run: `/runs/${method}-${seed}`,
    results:
      value === null
        ? null
        : {
            version: 1,
            bits: 'W4A4KV4',
            loss: null,
            orthogonalityError: null,
            steps: 0,
            perplexity,
            seconds: {},
            peakBytes: 2 ** 20,
            measuredAt: '2026-01-01T00:00:00Z',
          },
    seconds: value === null ? null : 2.5,
    mixed: null,
    model: 'abc',
    message: null,
    ...more,
  };
}

const fp = cell('fp', 0, 9, { bits: '16-16-16', seeded: false });

test('mean and sample standard deviation over seeds', () => {
  assert.deepEqual(spreadOf([1, 2, 3, 4]), { mean: 2.5, deviation: Math.sqrt(5 / 3), min: 1, max: 4, n: 4 });
  assert.equal(spreadOf([7]).deviation, null);
});

test('full precision shows the network as it is', () => {
  assert.deepEqual(
    tableOf([fp]).rows.map(({ values }) => values[0]?.mean),
    [5],
  );
});

test('best is what no other row comes near by the spread of both; one draw of a seeded row is not known to be', () => {
  const bestOf = (...cells: TableCell[]) => tableOf([fp, ...cells]).rows.map(({ best }) => best[0]);
  const a = [cell('a', 0, 10), cell('a', 1, 10.2)];
  assert.deepEqual(bestOf(...a, cell('b', 0, 10.5), cell('b', 1, 10.7)), [false, true, false]);
  assert.deepEqual(bestOf(...a, cell('b', 0, 10.1), cell('b', 1, 10.5)), [false, false, false]);
  assert.deepEqual(bestOf(cell('a', 0, 10), cell('b', 0, 20)), [false, false, false]);
  assert.deepEqual(bestOf(cell('a', 0, 10, { seeded: false }), cell('b', 0, 20)), [false, true, false]);
});

test('an accuracy is best only where none comes near it by the standard error, over seeds too', () => {
  const scored = (method: string, right: number, more: Partial<TableCell> = {}, seed = 0) => {
    const one = cell(method, seed, 10, { seeded: false, ...more });
    // The standard error of 100 questions, half of them right, is 5 %.
    const acc = { value: right / 100, standardError: 0.05 };
    const scores = { fullPrecision: null, quantized: { acc, accNorm: null } };
    const tasks = [{ task: 'boolq', questions: 100, limit: null, ...scores }];
    return { ...one, results: { ...one.results!, perplexity: [], tasks } };
  };
  const bestOf = (...cells: TableCell[]) =>
    tableOf([fp, ...cells])
      .rows.slice(1)
      .map(({ best }) => best.at(-1));
  assert.deepEqual(bestOf(scored('a', 56), scored('b', 50)), [true, false]);
  assert.deepEqual(bestOf(scored('a', 54), scored('b', 50)), [false, false]);
  const seeded = { seeded: true };
  const twice = (method: string, right: number) => [0, 1].map((seed) => scored(method, right, seeded, seed));
  assert.deepEqual(bestOf(...twice('a', 54), ...twice('b', 50)), [false, false], 'the spread is zero');
  assert.deepEqual(bestOf(...twice('a', 56), ...twice('b', 50)), [true, false]);
  assert.deepEqual(
    bestOf(scored('a', 54), scored('b', 50, seeded)),
    [false, false],
    'one draw has its error',
  );
});

test('cells without numbers say why, in every format', () => {
  const table = tableOf([
    fp,
    cell('a', 0, 12.3456789),
    cell('a', 1, null),
    cell('q', 0, null, { status: 'empty', message: 'weights only', run: null }),
  ]);
  assert.deepEqual(
    table.rows.map(({ note }) => note),
    [null, '1 of 2 seeds without numbers: not computed yet', 'weights only'],
  );
  const markdown = formatMatrix(table, 'markdown').split('\n');
  assert.equal(markdown[0], '| bits W-A-KV | method | wiki (perplexity) |');
  assert.equal(markdown[3], '| 4-4-4 | A | 12.346 (1 of 2 seeds) |');
  assert.equal(markdown.at(-1), '- Q at 4-4-4: weights only');
  const latex = formatMatrix(table, 'latex');
  assert.match(latex, /\\midrule\n4-4-4 & A & 12\.346 \(1 of 2 seeds\) \\\\/);
  const csv = formatMatrix(table, 'csv').split('\r\n');
  assert.equal(
    csv[0],
    'method,title,bits,seed,metric,name,value,standardError,count,limit,seconds,peakBytes,status,run,model,measuredAt,message,averageBits,exceptions',
  );
  assert.equal(
    csv[2],
    'a,A,4-4-4,0,perplexity,wiki,12.3456789,,2,,2.5,1048576,finished,a-0,abc,2026-01-01T00:00:00Z,,,',
  );
  assert.equal(csv[4], 'q,Q,4-4-4,0,,,,,,,,,empty,,abc,,weights only,,');
  const { cells, notes } = JSON.parse(formatMatrix(table, 'json')) as {
    notes: string[];
    cells: { value: number | null; seconds: number | null; peakBytes: number | null }[];
  };
  assert.deepEqual(
    cells.map(({ value }) => value),
    [5, 12.3456789, null, null],
  );
  assert.deepEqual(notes, [
    'A at 4-4-4: 1 of 2 seeds without numbers: not computed yet',
    'Q at 4-4-4: weights only',
  ]);
  assert.deepEqual(
    cells.map(({ seconds, peakBytes }) => [seconds, peakBytes]),
    [...[2, 2].map(() => [2.5, 2 ** 20]), ...[0, 0].map(() => [null, null])],
  );
});

test('how many seeds a number rests on is told in the same words in every format', () => {
  const seeds = (method: string, ...values: (number | null)[]) =>
    values.map((value, seed) => cell(method, seed, value));
  const table = tableOf([...seeds('a', 10, 10.2, null), ...seeds('b', 20, 22, 24)]);
  assert.match(formatMatrix(table, 'markdown'), /\*\*10\.100 ± 0\.141 \(2 of 3 seeds\)\*\*/);
  assert.match(formatMatrix(table, 'latex'), /\{10\.100 \$\\pm\$ 0\.141 \(2 of 3 seeds\)\}/);
  assert.match(matrixTable(table), /10\.100 ± 0\.141 \(2 of 3 seeds\) \*/);
  for (const text of [formatMatrix(table, 'markdown'), formatMatrix(table, 'latex'), matrixTable(table)])
    assert.match(text, / 2\.000 \(3 seeds\)/);
});

test('where no best is marked, every format says why', () => {
  const two = (method: string, ...values: number[]) => values.map((value, seed) => cell(method, seed, value));
  const notesOf = (...cells: TableCell[]) => {
    const table = tableOf([fp, ...cells]);
    const { notes } = JSON.parse(formatMatrix(table, 'json')) as { notes: string[] };
    for (const note of notes) {
      assert.ok(formatMatrix(table, 'markdown').endsWith(`\n- ${note}`));
      assert.ok(formatMatrix(table, 'latex').endsWith(`\n% ${note}`));
      assert.ok(matrixTable(table).endsWith(`\n${note}`));
    }
    return notes;
  };
  const fixed = { seeded: false };
  assert.deepEqual(notesOf(...two('a', 10, 10.2), ...two('b', 10.1, 10.5)), [
    'No best is marked at 4-4-4: another row comes nearer to the best one than the spread of their seeds.',
  ]);
  assert.deepEqual(notesOf(cell('a', 0, 10), cell('b', 0, 20)), [
    'No best is marked at 4-4-4: the best row drew by one seed, and more seeds would tell its spread.',
  ]);
  assert.deepEqual(notesOf(cell('a', 0, 10, fixed), cell('b', 0, 10, fixed)), [
    'No best is marked at 4-4-4: the best rows are equal.',
  ]);
  assert.deepEqual(notesOf(...two('a', 10, 10.2), ...two('b', 11, 11.1)), [], 'the best is marked');
  assert.deepEqual(notesOf(cell('a', 0, 10)), [], 'there is nothing to compare');
});

test('what would break a format is written so that it does not', () => {
  const table = tableOf([cell('a', 0, 1, { title: 'a|b & "50%", c_d' })]);
  assert.match(formatMatrix(table, 'markdown'), /a\\\|b & "50%", c\\_d/);
  assert.match(formatMatrix(table, 'latex'), /a\|b \\& "50\\%", c\\_d/);
  assert.match(formatMatrix(table, 'csv'), /"a\|b & ""50%"", c_d"/);
});

test('a model of the Hub has published values by its name, before it is downloaded', async () => {
  const modelOf = async (name: string) => (await publishedFor(name))?.model;
  assert.equal(await modelOf('meta-llama/Llama-2-7b-hf'), 'LLaMA-2-7B');
  assert.equal(await modelOf('hf://meta-llama/Meta-Llama-3-8B@main'), 'LLaMA-3-8B');
  assert.equal(await modelOf('nobody/Llama-3.2-1B'), 'LLaMA-3.2-1B');
  assert.equal(await modelOf('nobody/llama-2-7b-chat'), undefined);
  assert.equal(await modelOf('hf://nonsense'), undefined);
});

test('published values stand beside those of a model of the same sizes, doubtful ones marked', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-published-'));
  try {
    const sizes = { hidden_size: 4096, num_hidden_layers: 32, intermediate_size: 11008, vocab_size: 32000 };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(sizes));
    const published = await publishedFor(folder);
    assert.equal(published?.model, 'LLaMA-2-7B');
    const gptq = cell('gptq', 0, 6, { bits: '4-8-16', title: 'GPTQ' });
    const table = tableOf([fp, gptq, cell('spinquant-had-gptq', 0, 6, { title: 'SpinQuant' })], published);
    const lines = formatMatrix(table, 'markdown').split('\n');
    assert.equal(lines[2], '| 16-16-16 | FP | 5.000 | 66.9 | 5.5 |');
    assert.equal(lines[3], '| 4-8-16 | GPTQ | 6.000 | 64.9 | 20.2 (?) |');
    assert.equal(lines[4], '| 4-4-4 | SpinQuant | 6.000 | 64 | 5.9 |');
    assert.doesNotMatch(formatMatrix(withoutPublished(table), 'markdown'), /ublished|20\.2/);
    assert.match(lines.join('\n'), /Doubtful: GPTQ at 4-8-16, perplexity\. Far above RTN/);
    const modelOf = async (change: object) => {
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...sizes, ...change }));
      return (await publishedFor(folder))?.model;
    };
    assert.equal(await modelOf({ hidden_size: 64 }), undefined);
    assert.equal(await modelOf({ model_type: 'llama', vocab_size: 32_016 }), 'LLaMA-2-7B', 'padded');
    assert.equal(await modelOf({ model_type: 'qwen2' }), undefined, 'another family');
    const large = { hidden_size: 8192, num_hidden_layers: 80, intermediate_size: 28_672 };
    assert.equal(await modelOf({ ...large, vocab_size: 128_256 }), 'LLaMA-3-70B');
    assert.equal(await modelOf({ ...large, vocab_size: 32_000 }), 'LLaMA-2-70B');
    assert.equal(await publishedFor(join(folder, 'none')), null);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
