import type { ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { planInspect } from './experiment-plan.ts';
import { runJob } from './job.ts';
import type { InspectOptions, InspectResult } from './options.ts';
import { Places } from './places.ts';

/** Collects activation statistics before and after rotation, per layer and site. */
export async function* inspectActivations(
  experiment: ResolvedExperiment,
  options: InspectOptions,
): AsyncGenerator<RunEvent, InspectResult> {
  const { rotations, record, runDir } = options;
  const folder = record?.dir ?? runDir ?? null;
  const setting = {
    job: 'inspect' as const,
    experiment,
    options,
    places: new Places(folder, [], folder ?? experiment.runs, record),
    run: folder,
    tell: record?.setProvenance.bind(record),
  };
  return yield* runJob(setting, (bench, executor) =>
    executor.execute(planInspect(experiment, bench.scaling, rotations ?? null)),
  );
}
