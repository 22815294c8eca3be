/** The jobs of the worker: what a request asks for, in terms of the engine. */
import { dirname, join, resolve } from 'node:path';
import { type Cluster, hasLearnedRotation, type ResolvedExperiment, withoutMaps } from '../config/index.ts';
import {
  attributeAndKeep,
  cancelCluster,
  fetchSources,
  fillOnCluster,
  findSource,
  loadExperiment,
  type MatrixResult,
  measureAndKeep,
  onlyRun,
  optimizeRotation,
  runMatrix,
} from '../engine/index.ts';
import { Cancelled } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { AttributeParams, JobResult, MeasureParams, OptimizeParams } from '../protocol/worker.ts';
import { openRun } from '../runs/index.ts';
import { withOverrides } from './overrides.ts';

type Job = (signal: AbortSignal) => AsyncGenerator<RunEvent, JobResult>;

/** @throws ExperimentError, UserError before anything is computed. */
export async function jobOf(
  method: 'optimize' | 'evaluate' | 'inspect',
  params: OptimizeParams | MeasureParams,
): Promise<Job> {
  if ('resumeFrom' in params) return optimizeJob(params);
  return measureJob(method === 'evaluate' ? 'evaluate' : 'inspect', params);
}

async function optimizeJob(params: OptimizeParams): Promise<Job> {
  const { experiment: file, resumeFrom, takeOver, overrides } = params;
  const experiment =
    resumeFrom === null
      ? withOverrides(await loadExperiment(file, 'optimize'), overrides)
      : await (await openRun(resumeFrom)).readExperiment();
  return async function* (signal) {
    const ready = yield* fetchSources(experiment, 'optimize', signal);
    const options = { signal, resumeFrom: resumeFrom ?? undefined, takeOver };
    // Who resumes a run means that one, here.
    const cluster = resumeFrom === null && ready.cluster?.scheduler === 'slurm' ? ready.cluster : null;
    if (cluster === null && !ready.matrix) {
      const { run } = yield* optimizeRotation(ready, options);
      return { run };
    }
    const result = yield* cluster ? onCluster(ready, cluster, signal) : runMatrix(ready, options);
    return { run: ready.matrix ? (firstRun(result) ?? ready.runs) : onlyRun(result) };
  };
}

function firstRun({ cells }: MatrixResult): string | null {
  return cells.find(({ run }) => run !== null)?.run ?? null;
}

/** Who cancels in the editor means the jobs; a pause, or a window that closes, leaves them to the cluster. */
async function* onCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  signal: AbortSignal,
): AsyncGenerator<RunEvent, MatrixResult> {
  // The command line lies beside the worker.
  const program = [process.execPath, join(dirname(resolve(process.argv[1] ?? '')), 'cli.js')];
  try {
    return yield* fillOnCluster(experiment, cluster, { signal, program });
  } catch (error) {
    if (error instanceof Cancelled && error.how === 'cancelled') await cancelCluster(experiment);
    throw error;
  }
}

/** @throws ExperimentError, UserError before anything is computed. */
export async function attributeJob(params: AttributeParams): Promise<Job> {
  const { run, ownSettings, exact, curve } = params;
  const experiment =
    run !== null && ownSettings
      ? await (await openRun(run)).readExperiment()
      : withOverrides(await loadExperiment(params.experiment, 'inspect'), params.overrides);
  const learned = run !== null && hasLearnedRotation(experiment.rotation);
  const source = learned ? await findSource(experiment, { path: run }) : null;
  return async function* (signal) {
    const ready = yield* fetchSources(experiment, 'inspect', signal);
    const options = { signal, exact, curve, weights: run ?? undefined };
    const { run: kept } = yield* attributeAndKeep(ready, source, options);
    return { run: kept };
  };
}

async function measureJob(what: 'evaluate' | 'inspect', params: MeasureParams): Promise<Job> {
  const written = withOverrides(await loadExperiment(params.experiment, what), params.overrides);
  const experiment = params.withoutRotations ? withoutMaps(written) : written;
  const source = await findSource(experiment, params.run === null ? 'newest' : { path: params.run });
  return async function* (signal) {
    const ready = yield* fetchSources(experiment, what, signal);
    return { run: yield* measureAndKeep(what, ready, source, { signal }) };
  };
}
