import { hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import type { EngineOptions, EvaluateResult, KeptEvaluation, Ranks } from '../../engine/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { isRunFolder, openRun } from '../../runs/index.ts';
import { type Engine, loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import type { ExitCode } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { measurementTables } from '../measurement-tables.ts';
import type { Output } from '../output.ts';
import { productsText } from '../products-text.ts';
import { follow } from '../progress.ts';
import { onRanks, stoppedWith } from '../ranks.ts';

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
export async function evaluate(
  file: string,
  flags: EvaluateFlags,
  output: Output,
): Promise<ExitCode | undefined> {
  return onRanks(output, (ranks, own) => evaluateOn(ranks, file, flags, own));
}

async function evaluateOn(
  ranks: Ranks,
  file: string,
  flags: EvaluateFlags,
  output: Output,
): Promise<undefined> {
  const asked = await loadExperiment(file, 'evaluate', output, flags.device, ranks);
  const engine = await loadEngine();
  await using place = await engine.openRankPlace(ranks, asked.runs);
  const experiment = place.experiment(asked);
  const here = async (path: string | undefined) => (path === undefined ? path : await place.run(path));
  const of = isRunFolder(file) ? await here((await openRun(file)).dir) : undefined;
  const run = await here(flags.run && (await openRun(flags.run)).dir);
  const named = { ...flags, run, of, rotations: await here(flags.rotations) };
  const result = await interruptible(output, async (signal) =>
    follow(
      await measuring(engine, experiment, named, {
        signal: stoppedWith(ranks, signal),
        kernels: flags.kernels,
        ranks,
      }),
      output,
    ),
  );
  output.document(result);
  const kept = 'run' in result ? `\n\nRun: ${result.run}` : '';
  const tables = measurementTables(result).join('\n\n');
  const products = result.products === null ? '' : `\n\n${productsText(result.products)}`;
  const { averageBits } = result;
  const average = averageBits ? `, ${averageBits.mixed.toFixed(3)} bits on average` : '';
  output.result(`${result.bits}${average}\n\n${tables}${originText(result)}${products}${kept}`);
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
  named: Pick<EvaluateFlags, 'keep' | 'integer'> &
    Readonly<Record<'run' | 'of' | 'rotations', string | undefined>>,
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
