/** Tables as data: all digits, times in ISO 8601, one thing in each column, whatever the page shows. */
import { printable } from '../../src/protocol/printable.ts';
import type { Pivot } from './pivot.ts';
import { isDeployed, type ResultRow } from './rows.ts';

type Value = string | number | boolean | null | undefined;
type Line = readonly (readonly [column: string, value: Value])[];

/** A line for each run and text, with every setting of its experiment behind what was measured. */
export function runsCsv(rows: readonly ResultRow[]): string {
  const paths = new Set(rows.flatMap(({ run }) => Object.keys(run.settings)));
  return csv(
    rows.map((row) => [
      ...measuredFields(row),
      ...originFields(row),
      ...[...paths].map((path) => [path, row.run.settings[path]] as const),
    ]),
  );
}

function measuredFields({ run, text, delta }: ResultRow): Line {
  return [
    ['run', run.id],
    ['name', run.name],
    ['label', run.label],
    ['starred', run.starred],
    ['status', run.status],
    ['experiment', run.experiment.name],
    ['method', run.method],
    ['bits', run.paperBits],
    ['text', text.name],
    ['sequenceLength', text.sequenceLength],
    ['windows', text.windows],
    ['tokens', text.tokens],
    ['perplexity', text.quantized],
    ['fullPrecisionPerplexity', text.fullPrecision],
    ['delta', delta],
    ['meanLoss', text.meanLoss.quantized],
    ['fullPrecisionMeanLoss', text.meanLoss.fullPrecision],
    ['products', isDeployed(text) ? 'whole numbers' : 'simulated'],
    ['learnedOnThisText', text.seen],
    ['objective', run.loss?.objective],
    ['lossUnit', run.loss && (run.loss.inNats ? 'nats per token' : '')],
    ['firstLoss', run.loss?.first],
    ['lastLoss', run.loss?.last],
    ['steps', run.steps],
    ['seconds', run.seconds],
    ['peakBytes', run.peakBytes],
  ];
}

function originFields({ run }: ResultRow): Line {
  const { provenance, rotationsOf } = run;
  return [
    ['startedAt', run.startedAt],
    ['measuredAt', run.measuredAt],
    ['rotationsOfRun', rotationsOf?.run],
    ['rotationsOfSeed', rotationsOf?.seed],
    ['model', run.model],
    ['modelSha256', provenance?.modelHash],
    ['productVersion', provenance?.productVersion],
    ['runtime', provenance?.runtime],
    ['kernels', provenance?.kernels],
    ['threads', provenance?.threads],
    ['device', provenance?.device],
    ['platform', provenance?.platform],
  ];
}

/** A line for each cell: its mean, spread and count in columns of their own. */
export function pivotsCsv(pivots: readonly Pivot[]): string {
  return csv(pivots.flatMap(pivotLines));
}

function pivotLines({ row, bits, methods, fullPrecision }: Pivot): Line[] {
  const { run, text } = row;
  const ground: Line = [
    ['model', run.model],
    ['modelSha256', run.provenance?.modelHash],
    ['text', text.name],
    ['sequenceLength', text.sequenceLength],
    ['windows', text.windows],
  ];
  return methods.flatMap(({ name, detail, cells }) =>
    cells.flatMap((cell, column): Line[] => {
      if (cell === null) return [];
      const { mean, deviation, min, max, n } = cell.spread;
      const seeds = [...new Set(cell.rows.map(({ run: one }) => one.settings['rotation.seed'] ?? ''))];
      return [
        [
          ...ground,
          ['method', name],
          ['settings', detail],
          ['bits', bits[column]],
          ['perplexity', mean],
          ['deviation', deviation],
          ['n', n],
          ['least', min],
          ['largest', max],
          ['best', cell.best],
          ['fullPrecisionPerplexity', fullPrecision],
          ['delta', fullPrecision === null || !Number.isFinite(mean) ? null : mean - fullPrecision],
          ['seeds', seeds.toSorted().join(' ')],
          ['runs', cell.rows.map(({ run: one }) => one.id).join(' ')],
        ],
      ];
    }),
  );
}

/** RFC 4180. */
function csv(lines: readonly Line[]): string {
  const [first] = lines;
  const head = first?.map(([column]) => csvCell(column)).join(',') ?? '';
  const body = lines.map((line) => line.map(([, value]) => csvCell(plain(value))).join(','));
  return `${[head, ...body].join('\r\n')}\r\n`;
}

/** Spreadsheets and programs read `inf`. */
function plain(value: Value): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'number' && !Number.isFinite(value) ? 'inf' : String(value);
}

/** A cell that a spreadsheet would run as a formula gets an apostrophe; numbers stay numbers. */
export function csvCell(text: string): string {
  const shown = printable(text);
  const safe = isFormula(shown) ? `'${shown}` : shown;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Wide signs count as well: some spreadsheets read them as the narrow ones. */
function isFormula(text: string): boolean {
  return /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/.test(text) && !/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text);
}
