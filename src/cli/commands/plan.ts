import type { Expected, MatrixPreview, StepPreview, StepsPreview } from '../../engine/index.ts';
import { formatBytes, formatCount, formatRoughBytes, formatSeconds } from '../../protocol/text.ts';
import { clusterOf, jobsText, ownProgram } from '../cluster.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { formatTable } from '../table.ts';

export interface PlanFlags extends ComputeFlags {
  /** It is true for `--cluster` without a file. */
  readonly cluster?: string | true;
}

export async function plan(file: string, flags: PlanFlags, output: Output): Promise<undefined> {
  const experiment = await loadExperiment(file, 'optimize', output, flags.device);
  const engine = await loadEngine();
  const { kernels } = flags;
  const cluster = flags.cluster === undefined ? null : await clusterOf(experiment, flags);
  if (cluster) {
    const options = { kernels, program: ownProgram() };
    const jobs = await interruptible(output, (signal) =>
      follow(engine.previewCluster(experiment, cluster, { ...options, signal }), output),
    );
    output.document(jobs);
    output.result(jobsText(jobs, cluster));
    return;
  }
  if (!experiment.matrix) {
    const preview = await interruptible(output, (signal) =>
      follow(engine.previewSteps(experiment, 'optimize', { signal, kernels }), output),
    );
    output.document(preview);
    output.result(stepsText(preview));
    return;
  }
  const preview = await interruptible(output, (signal) =>
    follow(engine.previewMatrix(experiment, { signal, kernels }), output),
  );
  output.document(preview);
  output.result(previewText(preview));
}

function stepsText({ steps, exceptions, expected, statements }: StepsPreview): string {
  const rows = steps.map(({ name, kind, seconds, peakBytes }) => [
    name,
    kind,
    seconds === null ? '–' : `~${formatSeconds(seconds)}`,
    peakBytes === null ? '–' : `~${formatBytes(peakBytes)}`,
  ]);
  const table = formatTable(['step', 'kind', 'time', 'memory'], rows, ['left', 'left', 'right', 'right']);
  const chosen = exceptions === null ? [] : [`Exceptions: ${exceptions}.`, ''];
  const said = statements.length > 0 ? [...statements, ''] : [];
  return [table, '', ...chosen, ...said, `${expectedText(expected)} ${ESTIMATED}`].join('\n');
}

function previewText({ cells, steps, expected }: MatrixPreview): string {
  const cellTable = formatTable(
    ['bits', 'method', 'seed', 'to do'],
    cells.map(({ bits, title, seed, missing, message }) => [
      bits,
      title,
      String(seed),
      message === null
        ? missing === 0
          ? 'nothing'
          : formatCount(missing, 'step')
        : `stays empty: ${message}`,
    ]),
    ['left', 'left', 'right', 'left'],
  );
  return [cellTable, '', ...exceptionLines(cells), stepTable(steps), '', totalText(steps, expected)].join(
    '\n',
  );
}

/** Cells have these, or will choose them, in place of the bits of their column. */
function exceptionLines(cells: MatrixPreview['cells']): string[] {
  const lines = cells.flatMap(({ bits, title, seed, exceptions }) =>
    exceptions === null ? [] : [`${bits} ${title}, seed ${seed}: exceptions ${exceptions}.`],
  );
  return lines.length === 0 ? [] : [...lines, ''];
}

/** Steps of one name in one line. */
function stepTable(steps: readonly StepPreview[]): string {
  const names = [...new Set(steps.map(({ name }) => name))];
  const rows = names.map((name) => {
    const alike = steps.filter((step) => step.name === name);
    const toRun = alike.filter(({ isThere }) => !isThere);
    // What is to run is what a person wants to know about; where nothing is, what it took.
    const shown = toRun.length > 0 ? toRun : alike;
    const mark = shown.some(({ isEstimate }) => isEstimate) ? '~' : '';
    return [
      name,
      String(alike.reduce((sum, { cells }) => sum + cells, 0)),
      String(alike.length - toRun.length),
      String(toRun.length),
      mark + rangeText(shown.map(({ seconds }) => seconds)),
      toRun.length > 0 ? mark + formatSeconds(sumOf(toRun)) : '–',
      mark + formatBytes(Math.max(...shown.map(({ peakBytes }) => peakBytes))),
    ];
  });
  const head = ['step', 'wanted by cells', 'there', 'to run', 'time of one', 'time to run', 'peak memory'];
  return formatTable(head, rows, ['left', ...head.slice(1).map(() => 'right' as const)]);
}

/** `2 s` or `2 s – 5 s`. */
function rangeText(seconds: readonly number[]): string {
  const [least, most] = [Math.min(...seconds), Math.max(...seconds)].map(formatSeconds);
  return least === most ? `${least}` : `${least} – ${most}`;
}

function totalText(steps: readonly StepPreview[], expected: Expected): string {
  const toRun = steps.filter(({ isThere }) => !isThere);
  if (toRun.length === 0) return 'Nothing is left to run.';
  return `${formatCount(toRun.length, 'step')} to run. ${expectedText(expected)} ${ESTIMATED}`;
}

/** `About 3 min 5 s and 1.4 GiB on this machine.` */
function expectedText({ seconds, peakBytes }: Expected): string {
  const memory = peakBytes === null ? '' : ` and ${formatRoughBytes(peakBytes)}`;
  return `About ${formatSeconds(seconds)}${memory} on this machine.`;
}

const sumOf = (steps: readonly StepPreview[]): number => steps.reduce((sum, { seconds }) => sum + seconds, 0);

const ESTIMATED =
  '~ marks estimates, by what a step computes, how fast this machine is, and how long steps took here.';
