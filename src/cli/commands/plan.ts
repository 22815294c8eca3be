import type { MatrixPreview, StepPreview } from '../../engine/index.ts';
import { formatBytes, formatSeconds } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { formatTable } from '../table.ts';

export async function plan(file: string, flags: ComputeFlags, output: Output): Promise<undefined> {
  const experiment = await loadExperiment(file, 'optimize', output, flags.device);
  const engine = await loadEngine();
  if (!experiment.matrix) {
    const steps = await engine.describePlan(experiment, 'optimize');
    output.document({ steps });
    output.result(
      formatTable(
        ['step', 'kind'],
        steps.map(({ name, kind }) => [name, kind]),
        ['left', 'left'],
      ),
    );
    return;
  }
  const preview = await interruptible(output, (signal) =>
    follow(engine.previewMatrix(experiment, { signal, kernels: flags.kernels }), output),
  );
  output.document(preview);
  output.result(previewText(preview));
}

function previewText({ cells, steps }: MatrixPreview): string {
  const cellTable = formatTable(
    ['bits', 'method', 'seed', 'to do'],
    cells.map(({ bits, title, seed, missing, message }) => [
      bits,
      title,
      String(seed),
      message === null ? (missing === 0 ? 'nothing' : `${missing} steps`) : `stays empty: ${message}`,
    ]),
    ['left', 'left', 'right', 'left'],
  );
  return [cellTable, '', stepTable(steps), '', totalText(steps)].join('\n');
}

/** Steps of one name in one line. */
function stepTable(steps: readonly StepPreview[]): string {
  const names = [...new Set(steps.map(({ name }) => name))];
  const rows = names.map((name) => {
    const alike = steps.filter((step) => step.name === name);
    const toRun = alike.filter(({ isThere }) => !isThere);
    const peak = Math.max(...alike.map(({ peakBytes }) => peakBytes ?? 0));
    return [
      name,
      String(alike.reduce((sum, { cells }) => sum + cells, 0)),
      String(alike.length - toRun.length),
      String(toRun.length),
      alike[0]?.seconds == null ? '–' : formatSeconds(alike[0].seconds),
      peak > 0 ? formatBytes(peak) : '–',
    ];
  });
  const head = ['step', 'wanted by cells', 'there', 'to run', 'time of one', 'peak memory'];
  return formatTable(head, rows, ['left', 'right', 'right', 'right', 'right', 'right']);
}

function totalText(steps: readonly StepPreview[]): string {
  const toRun = steps.filter(({ isThere }) => !isThere);
  if (toRun.length === 0) return 'Nothing is left to run.';
  const known = toRun.flatMap(({ seconds }) => seconds ?? []);
  const time = known.reduce((sum, seconds) => sum + seconds, 0);
  const unknown = toRun.length - known.length;
  const parts = known.length > 0 ? [`about ${formatSeconds(time)} for ${known.length} of them`] : [];
  if (unknown > 0) parts.push(`${unknown} of kinds that have not run here yet`);
  return `${toRun.length} steps to run: ${parts.join(', ')}.`;
}
