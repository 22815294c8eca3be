import { resolve } from 'node:path';
import type { Ranks } from '../../engine/index.ts';
import { Cancelled } from '../../protocol/errors.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import { interruptible, stoppable } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { onRanks, stoppedWith } from '../ranks.ts';

export interface RunStepFlags extends ComputeFlags {
  readonly cell: string;
  readonly step?: string;
  readonly token?: string;
  readonly expect?: string;
  readonly threads?: number;
  readonly runs?: string;
}

/** One task of an array of jobs. @returns 75 where the scheduler's warning stopped it before its end. */
export async function runStep(file: string, flags: RunStepFlags, output: Output): Promise<ExitCode> {
  try {
    return (await onRanks(output, (ranks, own) => runOn(ranks, file, flags, own))) ?? EXIT.success;
  } catch (error) {
    if (!(error instanceof Cancelled && error.how === 'interrupted')) throw error;
    output.note(`${error.message} What was done so far is kept.`);
    output.document({ error: { code: 'cancelled', message: error.message, hint: '' } });
    return EXIT.again;
  }
}

async function runOn(ranks: Ranks, file: string, flags: RunStepFlags, output: Output): Promise<undefined> {
  const { cell, step = null, token, kernels, threads, runs } = flags;
  const loaded = await loadExperiment(file, 'optimize', output, flags.device, ranks);
  const folder = runs === undefined ? loaded.runs : resolve(runs);
  const engine = await loadEngine();
  await using place = await engine.openRankPlace(ranks, folder);
  const asked = { ...loaded, threads: loaded.threads ?? threads ?? null, runs: folder };
  const experiment = place.experiment(asked, true);
  const index = Number(process.env.SLURM_ARRAY_TASK_ID ?? 0);
  const job = token === undefined ? null : { token, index };
  const request = { cell, step, job, version: flags.expect ?? null };
  const result = await stoppable((warning) =>
    interruptible(output, (stop) => {
      const signal = stoppedWith(ranks, AbortSignal.any([warning, stop]));
      return follow(engine.runTask(experiment, request, { signal, kernels, ranks, place }), output);
    }),
  );
  output.document(result);
  output.result(result.message ?? `The cell is done: ${result.run}`);
}
