import type { ResolvedExperiment } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { withExceptionsChosen } from './choose/choose-exceptions.ts';
import { planInspect } from './experiment-plan.ts';
import { runJob } from './job.ts';
import type { InspectOptions, InspectResult } from './options.ts';
import { Places } from './places.ts';
import { measuredWith, sourceAt, warningsOf } from './source.ts';

/**
 * Collects activation statistics before and after rotation, per layer and site.
 * @throws UserError `rotation/not-used`, besides those of the model and of the text.
 */
export async function* inspectActivations(
  experiment: ResolvedExperiment,
  options: InspectOptions,
): AsyncGenerator<RunEvent, InspectResult> {
  const { rotations, record, runDir } = options;
  const source = rotations === undefined ? null : await sourceAt(experiment, rotations);
  const asked = yield* withExceptionsChosen(measuredWith(experiment, source), options, source?.run ?? null);
  const folder = record?.dir ?? runDir ?? null;
  const setting = {
    job: 'inspect' as const,
    experiment: asked,
    options,
    places: new Places(folder, [], folder ?? asked.runs, record),
    run: folder,
    tell: record?.setProvenance.bind(record),
  };
  return yield* runJob(setting, async function* (bench, executor) {
    yield* warningsOf(source);
    return yield* executor.execute(planInspect(bench.experiment, bench, source?.rotations ?? null));
  });
}
