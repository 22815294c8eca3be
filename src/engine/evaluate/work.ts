/** What measuring asks of a machine. */
import type { ModelConfig } from '../model/config.ts';
import { addWork, headForward, layerForward, networkForward, timesWork, type Work } from '../network/work.ts';
import type { PerplexityText } from './perplexity.ts';
import { COMPARED_TOKENS } from './preservation.ts';
import type { EncodedTask } from './tasks/encode.ts';
import { commonLength, shareInputs } from './tasks/shared-inputs.ts';

/** All windows of the texts pass once. */
export function textsWork(config: ModelConfig, texts: readonly PerplexityText[], quantized: boolean): Work {
  return addWork(
    ...texts.map(({ windows }) =>
      networkForward(config, { sequences: windows.length, length: windows[0]?.length ?? 0 }, quantized),
    ),
  );
}

/** What inputs begin with alike passes once: neighbours begin most alike. Logits are made for labels alone. */
export function taskWork(config: ModelConfig, { questions }: EncodedTask, quantized: boolean): Work {
  const requests = questions.flatMap((question) => question.requests);
  const { sequences } = shareInputs(requests.map(({ input }) => input));
  const rows = sequences.reduce((sum, own, i) => {
    const before = sequences[i - 1];
    return sum + own.length - (before ? commonLength(before, own) : 0);
  }, 0);
  const length = Math.ceil(rows / Math.max(1, sequences.length));
  const labels = requests.reduce((sum, request) => sum + request.labels.length, 0);
  const layers = layerForward(config, { sequences: sequences.length, length }, quantized);
  return addWork(timesWork(config.layers, layers), headForward(config, labels));
}

/** The beginning of a sequence through two networks. */
export function preservationWork(config: ModelConfig): Work {
  return timesWork(2, networkForward(config, { sequences: 1, length: COMPARED_TOKENS }, false));
}
