import type { ResolvedExperiment } from '../../config/index.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import type { InspectOptions, InspectResult } from '../api.ts';
import { collectActivations } from '../calibration/statistics/activations.ts';
import { labelOf } from '../evaluate/texts.ts';
import { scanForNonFinite } from '../model/scan.ts';
import { chooseRotations } from './evaluate.ts';
import { phase } from './phases.ts';
import { provenanceOf } from './provenance.ts';
import { calibrationBlocks, deviceStatement, openWorkbench } from './workbench.ts';

/** Collects activation statistics before and after rotation. See {@link Engine.inspectActivations}. */
export async function* inspectActivations(
  experiment: ResolvedExperiment,
  options: InspectOptions,
): AsyncGenerator<RunEvent, InspectResult> {
  const { signal } = options;
  const seconds = {};
  const bench = yield* phase('load', seconds, () => openWorkbench(experiment, options), experiment.model);
  try {
    options.record?.setProvenance(await provenanceOf(bench));
    yield timed({
      type: 'run-started',
      job: 'inspect',
      run: options.record?.dir ?? null,
      bits: labelOf(bench),
      runtime: bench.runtime.description,
      resumedFromStep: 0,
    });
    yield* deviceStatement(bench);
    const rotations = await chooseRotations(bench, options);
    yield* phase('scan', seconds, () => scanForNonFinite(bench.checkpoint, signal));
    const blocks = yield* phase('tokenize', seconds, () => calibrationBlocks(bench, signal));
    return yield* phase('statistics', seconds, () =>
      collectActivations(bench, rotations, blocks, null, signal),
    );
  } finally {
    await bench.close();
  }
}
