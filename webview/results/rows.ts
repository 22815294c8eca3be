/** The flat table: one row per run and text. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultRun, ResultsState, Setting, TextResult } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { measuredPerplexity } from '../../src/protocol/perplexity.ts';

/** A text with its perplexities as they were measured: null for none, infinite where the mean loss is above 709.78. */
export type MeasuredText = TextResult;

export interface ResultRow {
  /** Tells it from all other rows. */
  readonly key: string;
  readonly run: ResultRun;
  readonly text: MeasuredText;
  /** Values of {@link TextResult.quantized} minus that at full precision. */
  readonly delta: number | null;
}

export interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

export function resultRows({ runs }: Pick<ResultsState, 'runs'>): ResultRow[] {
  return runs.flatMap((run) =>
    run.texts.map((measured) => {
      const { meanLoss } = measured;
      const quantized = measuredPerplexity(measured.quantized, meanLoss.quantized);
      const fullPrecision = measuredPerplexity(measured.fullPrecision, meanLoss.fullPrecision);
      const text = { ...measured, quantized, fullPrecision };
      const key = JSON.stringify([run.dir, text.name]);
      return { key, run, text, delta: differenceOf(quantized, fullPrecision) };
    }),
  );
}

/** Null where one of them was not measured, or is too large for a number. */
function differenceOf(quantized: number | null, fullPrecision: number | null): number | null {
  if (quantized === null || fullPrecision === null) return null;
  const difference = quantized - fullPrecision;
  return Number.isFinite(difference) ? difference : null;
}

/** True where products of the quantized network were of whole numbers, as it is deployed. */
export const isDeployed = ({ integer }: MeasuredText): boolean => integer !== undefined && integer.length > 0;

/** Many bits first, as the paper's columns go. */
export function bitsOrder(paperBits: string): string {
  return paperBits.replace(/\d+/g, (bits) => String(99 - Number(bits)).padStart(2, '0'));
}

export function settingText(value: Setting | undefined, strings: ResultsStrings): string {
  if (value === undefined || value === null) return '–';
  if (typeof value === 'boolean') return value ? strings.yes : strings.no;
  return String(value);
}

/** Perplexities can only be compared on the same text, cut in the same way, of the same model. */
export function groundOf({ run, text }: ResultRow): string {
  const model = [run.model, run.provenance?.modelHash ?? null];
  return JSON.stringify([...model, text.name, text.sequenceLength, text.windows]);
}

/** `wikitext2 · 2048 tokens × 141 windows` */
export function textTitle({ name, sequenceLength, windows }: MeasuredText, strings: ResultsStrings): string {
  return sequenceLength === null
    ? fill(strings.textSettingShort, name, windows)
    : fill(strings.textSetting, name, sequenceLength, windows);
}

/** `rotations of quick-1 · seed 3`; empty for a run that measured its own, or none. */
export function originText({ rotationsOf }: ResultRun, strings: ResultsStrings): string {
  if (rotationsOf === null) return '';
  const { name, seed } = rotationsOf;
  return [name ?? strings.rotationsOfFile, ...(seed === null ? [] : [fill(strings.seedOf, seed)])].join(
    ' · ',
  );
}
