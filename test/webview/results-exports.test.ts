import assert from 'node:assert/strict';
import { basename } from 'node:path';
import test from 'node:test';
import { sortRows } from '../../webview/results/columns.ts';
import { csvCell, pivotsCsv, runsCsv } from '../../webview/results/csv.ts';
import { exportTables, pivotTable } from '../../webview/results/export.ts';
import { pivots } from '../../webview/results/pivot.ts';
import { changedColumns, strings, table } from './result-tables.ts';

test('exports: Markdown, LaTeX and CSV of the pivot', async (t) => {
  const { rows, words, dirs } = await table(t);
  const [pivot] = pivots(rows, words);
  const text = pivotTable(pivot!, strings, true);
  const markdown = exportTables([text], 'markdown').split('\n');
  assert.equal(markdown[0], '**llama-2-7b · wikitext2 · 2048 tokens × 141 windows**');
  assert.equal(markdown[2], '| method | 4-8-16 | 4-8-8 | 4-4-16 | 4-4-4 |');
  assert.equal(markdown[3], '| :--- | ---: | ---: | ---: | ---: |');
  assert.equal(markdown[4], '| Full precision | 5.472 | 5.472 | 5.472 | 5.472 |');
  assert.ok(
    markdown.includes(
      '| SpinQuant had + RTN | 5.702 (+0.230) | 5.711 (+0.239) | 5.927 (+0.455) | **5.975 ± 0.031 (n = 3) (+0.503)** |',
    ),
  );
  assert.match(markdown[6]!, /SpinQuant no\\_had/);
  const latex = exportTables([text], 'latex');
  assert.match(latex, /\\begin\{tabular\}\{lrrrr\}/);
  assert.match(latex, /SpinQuant no\\_had \+ RTN & 5\.812/);
  assert.match(latex, /\\textbf\{5\.975 \$\\pm\$ 0\.031 \(n = 3\)/);
  assert.match(latex, /\n% No best is marked at 4-8-16/);
  const csv = pivotsCsv([pivot!]).trim().split('\r\n');
  assert.equal(csv.length, 17, 'a line for each cell');
  const last = csv.at(-1)!.split(',');
  const field = (name: string) => last[csv[0]!.split(',').indexOf(name)];
  assert.equal(Number(field('perplexity')), (5.944 + (5.944 + 0.031) + (5.944 + 0.062)) / 3, 'all digits');
  assert.deepEqual(
    ['text', 'windows', 'method', 'bits', 'n', 'best', 'fullPrecisionPerplexity', 'seeds'].map(field),
    ['wikitext2', '141', 'SpinQuant had + RTN', '4-4-4', '3', 'true', '5.472', '0 1 2'],
  );
  assert.equal(field('modelSha256'), '0'.repeat(64));
  assert.deepEqual(
    field('runs')?.split(' ').toSorted(),
    [15, 16, 17].map((place) => basename(dirs[place]!)),
  );
});

test('exports of the runs keep order and columns; nothing a spreadsheet would run gets out', async (t) => {
  const { rows } = await table(t);
  const columns = changedColumns(rows);
  const sorted = sortRows(rows, columns, { column: 'quantized', descending: false });
  const csv = runsCsv(sorted).trim().split('\r\n');
  assert.equal(csv.length, rows.length + 1);
  const cells = (line: string) =>
    [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map(([, cell]) => cell);
  const head = cells(csv[0]!);
  const first = cells(csv[1]!);
  const field = (name: string) => first[head.indexOf(name)];
  assert.deepEqual(
    ['run', 'perplexity', 'fullPrecisionPerplexity', 'windows', 'startedAt', 'rotation.seed'].map(field),
    [sorted[0]!.run.id, '5.702', '5.472', '141', sorted[0]!.run.startedAt, '0'],
  );
  assert.equal(Number(field('delta')), 5.702 - 5.472, 'all digits');
  assert.equal(field('modelSha256'), '0'.repeat(64));
  const odd = {
    title: '',
    head: [{ title: 'a|b', numeric: false }],
    rows: [['=1+1'], ['x,"y"'], ['−2.5'], ['100 % & $_#{}\\']],
  };
  assert.match(exportTables([odd], 'markdown'), /a\\\|b/);
  assert.match(exportTables([odd], 'latex'), /100 \\% \\& \\\$\\_\\#\\\{\\\}\\textbackslash\{\}/);
});

/** Names that act in one of the formats, with what they become. */
const ODD_NAMES: readonly {
  readonly name: string;
  readonly csv: string;
  readonly markdown: string;
  readonly latex: string;
}[] = [
  {
    name: '=HYPERLINK("http://x","y")',
    csv: `"'=HYPERLINK(""http://x"",""y"")"`,
    markdown: '=HYPERLINK("http://x","y")',
    latex: '=HYPERLINK("http://x","y")',
  },
  { name: '-1+1', csv: "'-1+1", markdown: '-1+1', latex: '-1+1' },
  { name: ' @SUM(A1)', csv: "' @SUM(A1)", markdown: ' @SUM(A1)', latex: ' @SUM(A1)' },
  { name: '＝1+1', csv: "'＝1+1", markdown: '＝1+1', latex: '＝1+1' },
  { name: '-1.5e-3', csv: '-1.5e-3', markdown: '-1.5e-3', latex: '-1.5e-3' },
  { name: 'a;b', csv: '"a;b"', markdown: 'a;b', latex: 'a;b' },
  { name: 'a\nb|c', csv: '"a\nb|c"', markdown: 'a b\\|c', latex: 'a b\\textbar{}c' },
  { name: '[x](http://y)', csv: '[x](http://y)', markdown: '\\[x\\](http://y)', latex: '{[}x](http://y)' },
  { name: '*&lt;*', csv: '"*&lt;*"', markdown: '\\*\\&lt;\\*', latex: '{*}\\&lt;*' },
  {
    name: '\\input{x}--',
    csv: '\\input{x}--',
    markdown: '\\\\input{x}--',
    latex: '\\textbackslash{}input\\{x\\}-{}-',
  },
  {
    name: 'a\u001b[2J',
    csv: 'a\\u{1b}[2J',
    markdown: 'a\\\\u{1b}\\[2J',
    latex: 'a\\textbackslash{}u\\{1b\\}[2J',
  },
];

test('names act in none of the formats', () => {
  for (const { name, ...expected } of ODD_NAMES) {
    const one = { title: '', head: [{ title: 'run', numeric: false }], rows: [[name]] };
    assert.equal(csvCell(name), expected.csv);
    assert.equal(exportTables([one], 'markdown').trimEnd().split('\n').at(-1), `| ${expected.markdown} |`);
    assert.ok(
      exportTables([one], 'latex').includes(`\\midrule\n  ${expected.latex} \\\\\n  \\bottomrule`),
      name,
    );
  }
  const titled = { title: 'a\nb\u2028c', head: [], rows: [] };
  assert.match(exportTables([titled], 'latex'), /^% a b c\n/);
});
