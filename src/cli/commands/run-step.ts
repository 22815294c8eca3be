import { resolve } from 'node:path';
import { Cancelled } from '../../protocol/errors.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import { interruptible, stoppable } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';

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
  const { cell, step = null, token, kernels, threads, runs } = flags;
  const loaded = await loadExperiment(file, 'optimize', output, flags.device);
  const place = runs === undefined ? loaded.runs : resolve(runs);
  const experiment = { ...loaded, threads: loaded.threads ?? threads ?? null, runs: place };
  const engine = await loadEngine();
  const index = Number(process.env.SLURM_ARRAY_TASK_ID ?? 0);
  const job = token === undefined ? null : { token, index };
  const request = { cell, step, job, version: flags.expect ?? null };
  try {
    const result = await stoppable((warning) =>
      interruptible(output, (stop) => {
        const signal = AbortSignal.any([warning, stop]);
        return follow(engine.runTask(experiment, request, { signal, kernels }), output);
      }),
    );
    output.document(result);
    output.result(result.message ?? `The cell is done: ${result.run}`);
    return EXIT.success;
  } catch (error) {
    if (!(error instanceof Cancelled && error.how === 'interrupted')) throw error;
    output.note(`${error.message} What was done so far is kept.`);
    output.document({ error: { code: 'cancelled', message: error.message, hint: '' } });
    return EXIT.again;
  }
}
