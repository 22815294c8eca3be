import { parseExperiment } from '../config/index.ts';
import { checkAgainstModel } from '../engine/plan/check/check-model.ts';
import type { CheckParams, CheckResult } from '../protocol/worker.ts';

/** What is wrong with the text of an experiment that only its model shows, and an outline of that model. */
export async function checkText({ text, file }: CheckParams): Promise<CheckResult> {
  const { faults, config } = await checkAgainstModel(parseExperiment(text, file), file, 'edit');
  if (config === null) return { faults, model: null };
  const { architecture, layers, hiddenSize, headDim, intermediateSize } = config;
  return { faults, model: { architecture, layers, hiddenSize, headDim, intermediateSize } };
}
