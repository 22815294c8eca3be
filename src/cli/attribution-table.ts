import {
  type AttributionMeasure,
  measureOf,
  sumOf,
  sumsByLayer,
  sumsByPart,
} from '../protocol/attribution-sums.ts';
import type { RoundedPart } from '../protocol/block.ts';
import { formatCount, formatPerplexity } from '../protocol/text.ts';
import { type AttributionFile, correlations, exceptionText } from '../runs/index.ts';
import { formatTable } from './table.ts';

/** Columns have room for few letters. */
const SHORT_NAMES: Readonly<Record<RoundedPart, string>> = {
  'attention-input': 'qkv in',
  key: 'K',
  value: 'V',
  'o-input': 'o in',
  'mlp-input': 'gate/up in',
  'down-input': 'down in',
  'q-weight': 'Wq',
  'k-weight': 'Wk',
  'v-weight': 'Wv',
  'o-weight': 'Wo',
  'gate-weight': 'Wgate',
  'up-weight': 'Wup',
  'down-weight': 'Wdown',
};

/** Thousandths of a nat, which have few digits. */
const milli = (nats: number): string => (1000 * nats).toFixed(1);

/** The tables of an attribution, and what they add up to. */
export function attributionText(file: AttributionFile): string {
  const { fullPrecision, quantized } = file.loss;
  const whole = quantized - fullPrecision;
  const isMeasured = file.cells.some(({ measured }) => measured !== undefined);
  const perplexities = [fullPrecision, quantized].map((loss) => formatPerplexity(Math.exp(loss)));
  return [
    `${file.bits}, weights by ${file.weights}, ${formatCount(file.tokens, 'token')} of the calibration text: perplexity ${perplexities.join(' → ')}, loss +${whole.toFixed(4)} nats`,
    section(file, 'rise', 'Rise of the loss if this alone is rounded, estimated (10⁻³ nats)'),
    section(file, 'share', 'Share of the whole rise (10⁻³ nats)'),
    ...(isMeasured
      ? [
          section(file, 'measured rise', 'Rise if this alone is rounded, measured (10⁻³ nats)'),
          section(file, 'measured fall', 'Fall if this alone is left at 16 bits, measured (10⁻³ nats)'),
        ]
      : []),
    sumsText(file, whole, isMeasured),
    ...(isMeasured ? [agreementText(file)] : []),
    ...curveText(file),
  ].join('\n\n');
}

function section(file: AttributionFile, measure: AttributionMeasure, title: string): string {
  const sums = sumsByPart(file, measure);
  const layers = sumsByLayer(file, measure);
  const rows = layers.map((sum, layer) => [
    String(layer),
    ...sums.map(({ part }) => {
      const cell = file.cells.find((one) => one.layer === layer && one.part === part);
      return cell ? milli(measureOf(cell, measure)) : '–';
    }),
    milli(sum),
  ]);
  const last = ['all', ...sums.map(({ sum }) => milli(sum)), milli(sumOf(file.cells, measure))];
  const head = ['layer', ...sums.map(({ part }) => SHORT_NAMES[part]), 'sum'];
  return `${title}\n${formatTable(
    head,
    [...rows, last],
    head.map(() => 'right'),
  )}`;
}

/** None where it was not measured. */
function curveText({ curve = [] }: AttributionFile): string[] {
  const [first] = curve;
  if (!first) return [];
  const names = first.perplexity.map(({ name }) => name);
  const rows = curve.map(({ bits, exceptions, perplexity }) => [
    bits.toFixed(3),
    ...perplexity.map(({ quantized }) => formatPerplexity(quantized ?? Number.POSITIVE_INFINITY)),
    exceptions.map(exceptionText).join('; ') || '–',
  ]);
  const aligns = ['right', ...names.map(() => 'right' as const), 'left'] as const;
  return [`Perplexity against average bits\n${formatTable(['bits', ...names, 'at 8 bits'], rows, aligns)}`];
}

/** The sum of the parts against the whole: what is missing is what roundings do together. */
function sumsText({ cells }: AttributionFile, whole: number, isMeasured: boolean): string {
  const measures: readonly AttributionMeasure[] = isMeasured
    ? ['rise', 'share', 'measured rise', 'measured fall']
    : ['rise', 'share'];
  const rows = measures.map((measure) => {
    const sum = sumOf(cells, measure);
    return [`sum of ${measure}s`, sum.toFixed(4), `${((100 * sum) / whole).toFixed(0)} %`];
  });
  return formatTable(['parts against the whole', 'nats', 'of the whole'], rows, ['left', 'right', 'right']);
}

function agreementText({ cells }: AttributionFile): string {
  const of = (measure: AttributionMeasure): number[] => cells.map((cell) => measureOf(cell, measure));
  const pairs = [
    ['rise', 'measured rise'],
    ['share', 'measured rise'],
    ['share', 'measured fall'],
  ] as const;
  const rows = pairs.map(([a, b]) => {
    const { linear, rank } = correlations(of(a), of(b));
    return [`${a}, ${b}`, linear.toFixed(3), rank.toFixed(3)];
  });
  return formatTable(['estimate against measurement', 'correlation', 'of ranks'], rows, [
    'left',
    'right',
    'right',
  ]);
}
