import { hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import type { EngineOptions, EvaluateResult, KeptEvaluation } from '../../engine/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { isRunFolder, openRun } from '../../runs/index.ts';
import { type Engine, loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import { measurementTables } from '../measurement-tables.ts';
import type { Output } from '../output.ts';
import { productsText } from '../products-text.ts';
import { follow } from '../progress.ts';

export interface EvaluateFlags extends ComputeFlags {
  readonly rotations?: string;
  /** Results are added to this run. */
  readonly run?: string;
  /** Results are kept, in a run of their own where they are of no other. */
  readonly keep?: true;
  /** Products of the quantized network are of whole numbers. */
  readonly integer?: true;
}

/** @param file of an experiment, or the folder of a run, whose rotations and rounded weights then serve. */
export async function evaluate(file: string, flags: EvaluateFlags, output: Output): Promise<undefined> {
  const experiment = await loadExperiment(file, 'evaluate', output, flags.device);
  const of = isRunFolder(file) ? (await openRun(file)).dir : undefined;
  const runDir = flags.run === undefined ? undefined : (await openRun(flags.run)).dir;
  const engine = await loadEngine();
  const result = await interruptible(output, async (signal) =>
    follow(
      await measuring(engine, experiment, { ...flags, run: runDir, of }, { signal, kernels: flags.kernels }),
      output,
    ),
  );
  output.document(result);
  const kept = 'run' in result ? `\n\nRun: ${result.run}` : '';
  const tables = measurementTables(result).join('\n\n');
  const products = result.products === null ? '' : `\n\n${productsText(result.products)}`;
  output.result(`${result.bits}\n\n${tables}${originText(result)}${products}${kept}`);
}

/** Whose rotations were measured, and by which seed they began. */
function originText({ rotationsOf }: EvaluateResult): string {
  if (rotationsOf === null) return '';
  const { run, seed } = rotationsOf;
  return `\n\nRotations: of ${run ?? 'a file'}${seed === null ? '' : `, seed ${seed}`}`;
}

/** @param named its run is the path of a folder, and so is `of`: what is measured. */
async function measuring(
  engine: Engine,
  experiment: ResolvedExperiment,
  named: Pick<EvaluateFlags, 'rotations' | 'keep' | 'integer'> &
    Readonly<Record<'run' | 'of', string | undefined>>,
  options: EngineOptions,
): Promise<AsyncGenerator<RunEvent, EvaluateResult | KeptEvaluation>> {
  const { rotations, run, of, keep, integer } = named;
  // A run that learned nothing has results, too.
  const path = rotations ?? (hasLearnedRotation(experiment.rotation) ? (run ?? of) : undefined);
  const source = await engine.findSource(experiment, path === undefined ? null : { path });
  if (keep) return engine.evaluateAndKeep(experiment, source, { ...options, integer });
  const places = { rotations: source?.rotations, runDir: run, weights: of };
  return engine.evaluateExperiment(experiment, { ...options, ...places, integer });
}
