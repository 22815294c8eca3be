import { checkExperiment, type ResolvedExperiment } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { CheckParams } from '../../../protocol/worker.ts';
import { checkAgainstModel } from '../check/check-model.ts';
import { readsKeyMeans } from '../key-means.ts';
import { previewMatrix } from '../matrix/preview.ts';
import type { EngineOptions } from '../options.ts';
import { previewSteps } from '../preview-steps.ts';
import type { Expected } from './expected.ts';

/**
 * What optimizing an experiment is expected to take, saved or not; of a matrix, what is not there yet.
 * @param adapt settings of whoever asks, in the place of what the text leaves open.
 * @returns null where nothing could be run now: the faults are told elsewhere, and nothing is downloaded for a guess.
 */
export async function* estimateText(
  { text, file }: CheckParams,
  adapt: (experiment: ResolvedExperiment) => ResolvedExperiment,
  options: EngineOptions,
): AsyncGenerator<RunEvent, Expected | null> {
  const { experiment, faults, parsed } = await checkExperiment(text, file, 'optimize');
  if (experiment === null || faults.some(({ code }) => code === 'hub/not-downloaded')) return null;
  const byModel = await checkAgainstModel(parsed, file, 'optimize');
  if (byModel.config === null || byModel.faults.some(({ severity }) => severity === 'error')) return null;
  const adapted = adapt(experiment);
  // What is there of such a table only the means of keys tell, for which a network runs.
  if (adapted.matrix && readsKeyMeans(adapted)) return null;
  const { expected } = adapted.matrix
    ? yield* previewMatrix(adapted, options)
    : yield* previewSteps(adapted, 'optimize', options);
  return expected;
}
