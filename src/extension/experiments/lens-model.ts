/** The lenses of an experiment file as data. Knows nothing of the editor; words are made where they are shown. */

import {
  type Difference,
  type Experiment,
  experimentDifferences,
  hasLearnedRotation,
  type ParsedExperiment,
  portableExperiment,
  resolvePortable,
} from '../../config/index.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import type { EstimateResult } from '../../protocol/worker.ts';
import type { CellCount, PerplexityResult } from '../../runs/index.ts';
import { isPlain, isUnrotated, type RunSummary } from '../runs/summaries.ts';
import type { Job } from '../services.ts';

/** A measurement that a lens shows. */
export interface LastResult {
  readonly runDir: string;
  /** A measurement of each text, in the order of the results. */
  readonly perplexity: readonly PerplexityResult[];
  readonly bits: string;
  readonly measuredAt: Date;
  /** Settings that are different in the file now; empty when the number still holds. */
  readonly changed: readonly string[];
}

export type Lens = { readonly line: number } & (
  | { readonly kind: 'optimize'; readonly expected: EstimateResult | null }
  | ({ readonly kind: 'fill-table'; readonly expected: EstimateResult | null } & CellCount)
  | { readonly kind: 'show-table' }
  /** `cells`: how far the table is that the job fills. */
  | { readonly kind: 'progress'; readonly job: Job; readonly cells: CellCount | null }
  | { readonly kind: 'pause' | 'cancel'; readonly job: Job }
  | { readonly kind: 'resume'; readonly runDir: string }
  | { readonly kind: 'evaluate'; readonly last: LastResult | null; readonly runDir: string | null }
  /** `ofOtherBits`: than the number in the lens beside it. */
  | { readonly kind: 'evaluate-plain'; readonly last: LastResult | null; readonly ofOtherBits: boolean }
  | { readonly kind: 'compare'; readonly runDirs: readonly string[] }
  | { readonly kind: 'rotation'; readonly rotation: Experiment['rotation']; readonly runDir: string | null }
  | { readonly kind: 'layers'; readonly bits: string; readonly runDir: string | null }
  | { readonly kind: 'inspect'; readonly runDir: string | null }
);

export interface LensInput {
  readonly parsed: ParsedExperiment;
  /** Runs of this file, newest first. */
  readonly summaries: readonly RunSummary[];
  /** The job of this file that waits or runs. */
  readonly job: Job | null;
  /** The cells of its matrix; null where it has none. */
  readonly cells: CellCount | null;
  /** What optimizing, or filling the table, is expected to take; null where it is not known. */
  readonly expected: EstimateResult | null;
  /** True when a run left a checkpoint to go on from. */
  isResumable(summary: RunSummary): boolean;
  /** True when a run has rotations. */
  hasRotations(summary: RunSummary): boolean;
  /** True when a run has activation statistics. */
  hasActivations(summary: RunSummary): boolean;
}

/** Settings that do not change what is computed. */
const ELSEWHERE = /^(runs|device|threads|\$schema)(\.|$)/;

/** No lenses while the text is not an experiment: its faults are shown, and nothing could be started. */
export function lensesOf(given: LensInput): Lens[] {
  // The runs of cells have other settings than the file, also when it has no matrix any more.
  const input = { ...given, summaries: given.summaries.filter(({ run }) => tableCell(run.record) === null) };
  const { parsed, summaries, job } = input;
  const { experiment } = parsed;
  if (experiment === null) return [];
  // The range of a key that is not written is one brace: its lens stands with the model, which always is written.
  const lineOf = (key: string) => {
    const range = parsed.rangeAt([key]);
    return (range.length > 1 ? range : parsed.rangeAt(['model'])).line - 1;
  };
  const learned = hasLearnedRotation(experiment.rotation);
  // Its rows have rotations of their own, and cells are measured by filling the table.
  if (input.cells !== null) return tableLenses(input, input.cells, lineOf('matrix'));
  const measured = summaries.find(input.hasActivations)?.run ?? null;
  return [
    ...workLenses(input, lineOf('model'), learned),
    {
      line: lineOf('rotation'),
      kind: 'rotation',
      rotation: experiment.rotation,
      runDir: measured?.dir ?? null,
    },
    ...(measured === null
      ? []
      : [
          {
            line: lineOf('quantization'),
            kind: 'layers' as const,
            // Those of what it leads to, whatever the file says by now.
            bits: measured.record.bits,
            runDir: measured.dir,
          },
        ]),
    ...(job === null ? evaluationLenses(input, experiment, lineOf, learned) : ([] satisfies Lens[])),
  ];
}

function tableLenses({ job, expected }: LensInput, cells: CellCount, line: number): Lens[] {
  // While it fills, its progress leads to it: beside a panel there is little room.
  if (job !== null) return jobLenses(job, job.kind === 'optimize' ? cells : null, line);
  return [
    { line, kind: 'fill-table', expected, ...cells },
    { line, kind: 'show-table' },
  ];
}

function jobLenses(job: Job, cells: CellCount | null, line: number): Lens[] {
  return [
    ...(job.kind === 'optimize' && job.state === 'running' ? [{ line, kind: 'pause' as const, job }] : []),
    { line, kind: 'cancel', job },
    // Last: its width changes, and the others are to stay where they are.
    { line, kind: 'progress', job, cells },
  ];
}

function workLenses(input: LensInput, line: number, learned: boolean): Lens[] {
  const { job, summaries, expected } = input;
  if (job !== null) return jobLenses(job, null, line);
  if (!learned) return [];
  const newest = summaries.find(({ run }) => run.record.status !== 'running');
  const resumable = newest !== undefined && input.isResumable(newest);
  return [
    ...(resumable ? [{ line, kind: 'resume' as const, runDir: newest.run.dir }] : []),
    { line, kind: 'optimize', expected },
  ];
}

function evaluationLenses(
  input: LensInput,
  experiment: Experiment,
  lineOf: (key: string) => number,
  learned: boolean,
): Lens[] {
  if (experiment.evaluation.perplexity.length === 0) return [];
  const { summaries } = input;
  const line = lineOf('evaluation');
  const source = learned
    ? (summaries.find((summary) => input.hasRotations(summary) && !isPlain(summary))?.run.dir ?? null)
    : null;
  const rotated = !isUnrotated(experiment.rotation);
  const measured = summaries.filter(({ results }) => (results?.perplexity.length ?? 0) > 0);
  const last = newestOf(measured.filter((summary) => !rotated || !isPlain(summary)));
  const plain = newestOf(measured.filter(isPlain));
  const lenses: Lens[] = [];
  if (!learned || source !== null)
    lenses.push({ line, kind: 'evaluate', last: last && lastResult(last, experiment), runDir: source });
  if (rotated)
    lenses.push({
      line,
      kind: 'evaluate-plain',
      last: plain && lastResult(plain, unrotated(experiment)),
      ofOtherBits: last?.results?.bits !== plain?.results?.bits,
    });
  if (!learned || source !== null) lenses.push({ line: lineOf('rotation'), kind: 'inspect', runDir: source });
  if (measured.length > 0)
    lenses.push({ line, kind: 'compare', runDirs: measured.slice(0, 2).map(({ run }) => run.dir) });
  return lenses;
}

function newestOf(summaries: readonly RunSummary[]): RunSummary | null {
  let newest: RunSummary | null = null;
  for (const summary of summaries)
    if (newest === null || summary.measuredAt > newest.measuredAt) newest = summary;
  return newest;
}

function lastResult(summary: RunSummary, now: Experiment): LastResult {
  const { run, results, measuredAt } = summary;
  return {
    runDir: run.dir,
    perplexity: results!.perplexity,
    bits: results!.bits,
    measuredAt,
    changed: changedSettings(summary, now).map(({ path }) => path),
  };
}

/** Settings that changed in the file since a run; where it runs does not count. */
export function changedSettings(
  { experiment, run }: Pick<RunSummary, 'experiment' | 'run'>,
  now: Experiment,
): Difference[] {
  if (experiment === null) return [];
  const present = resolvePortable(now, run.experimentFile);
  return experimentDifferences(portableExperiment(experiment), portableExperiment(present)).filter(
    ({ path }) => !ELSEWHERE.test(path),
  );
}

function unrotated(experiment: Experiment): Experiment {
  const off = { r1: 'none', r2: 'none', r3: false, r4: false, acrossHeads: false } as const;
  return { ...experiment, rotation: { ...experiment.rotation, ...off } };
}
