import type { ResolvedExperiment } from '../../config/index.ts';
import { cancelledBy } from '../../protocol/errors.ts';
import { type JobKind, type RunEvent, timed } from '../../protocol/events.ts';
import type { Provenance } from '../../runs/index.ts';
import { assertUnchanged } from '../model/unchanged.ts';
import { Executor } from './execute.ts';
import { benchWithKeyMeans } from './key-means.ts';
import type { EngineOptions } from './options.ts';
import { phase } from './phases.ts';
import type { Places } from './places.ts';
import { provenanceOf } from './provenance.ts';
import { describeWork, deviceStatement, labelOf, openWorkbench, type Workbench } from './workbench.ts';

export interface JobSetting {
  readonly job: JobKind;
  readonly experiment: ResolvedExperiment;
  readonly options: EngineOptions;
  readonly places: Places;
  /** The run folder that the job's start names; null where nothing is kept. */
  readonly run: string | null;
  /** The step that a resumed run goes on from; 0 for a new one. */
  readonly resumedFromStep?: number;
  /** True where no network is run: what keys are is not looked at. */
  readonly previews?: boolean;
  /** Told where the numbers come from, before any is computed. */
  readonly tell?: ((provenance: Provenance) => void) | undefined;
}

/** What a job tells besides the events of runs, where it does. */
interface Told {
  readonly type: string;
}

/** Opens the model and a runtime, does the work, and closes both whatever happens. */
export async function* runJob<T, Event extends Told = RunEvent>(
  { job, experiment, options, places, run, resumedFromStep = 0, previews = false, tell }: JobSetting,
  work: (bench: Workbench, executor: Executor) => AsyncGenerator<RunEvent | Event, T>,
): AsyncGenerator<RunEvent | Event, T> {
  const seconds = {};
  const { signal, ranks } = options;
  const interrupt = (): void => signal && ranks?.interrupt(cancelledBy(signal));
  if (signal?.aborted) interrupt();
  signal?.addEventListener('abort', interrupt);
  const bench = yield* phase('load', seconds, () => openWorkbench(experiment, options), experiment.model);
  try {
    tell?.(await provenanceOf(bench));
    const bits = labelOf(bench);
    const runtime = describeWork(bench);
    yield timed({ type: 'run-started', job, run, bits, runtime, resumedFromStep });
    for (const { message, hint } of bench.checkpoint.warnings)
      yield timed({ type: 'warning', message, hint });
    yield* deviceStatement(bench);
    const own = yield* benchWithKeyMeans(bench, places, {
      previews,
      looksOnly: job === 'inspect',
      signal,
    });
    return yield* guarded(own, work(own, new Executor(own, places, seconds, signal)));
  } finally {
    signal?.removeEventListener('abort', interrupt);
    await places.close();
    await bench.close();
  }
}

/** The model's files are looked at so often while a phase lasts: it may take hours. */
const LOOK_MS = 1000;

/** Ends a job soon after a file of the model became another one, at the latest when its phase or its work ends. */
async function* guarded<T, Event extends Told>(
  { checkpoint }: Workbench,
  work: AsyncGenerator<RunEvent | Event, T>,
): AsyncGenerator<RunEvent | Event, T> {
  let looked = performance.now();
  try {
    for (;;) {
      const next = await work.next();
      const ends = next.done || endsPhase(next.value);
      if (ends || performance.now() - looked >= LOOK_MS) {
        assertUnchanged(checkpoint.files);
        looked = performance.now();
      }
      if (next.done) return next.value;
      yield next.value;
    }
  } finally {
    // Left in the middle, it keeps what it has and closes what it opened; at its end this does nothing.
    await work.return(undefined as T);
  }
}

const endsPhase = (event: Told): boolean =>
  event.type === 'phase' && 'state' in event && event.state === 'finished';
