/** The jobs of the worker: what a request asks for, in terms of the engine. */
import { hasLearnedRotation, withoutMaps } from '../config/index.ts';
import {
  attributeAndKeep,
  fetchSources,
  findSource,
  loadExperiment,
  measureAndKeep,
  optimizeRotation,
  runMatrix,
} from '../engine/index.ts';
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
    if (ready.matrix) {
      const { cells } = yield* runMatrix(ready, options);
      return { run: cells.find(({ run }) => run !== null)?.run ?? ready.runs };
    }
    const { run } = yield* optimizeRotation(ready, options);
    return { run };
  };
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
