import { UserError } from '../../protocol/errors.ts';
import type { Network } from '../network/network.ts';
import type { PerplexityText } from './perplexity.ts';

/** The error of a window whose loss is not a number, or infinite. The window goes through the network once more. */
export async function notFinite(
  network: Network,
  { name, windows }: PerplexityText,
  window: number,
  loss: number,
  signal?: AbortSignal,
): Promise<UserError> {
  const isPlain = network.options.mode === 'plain';
  const variant = isPlain ? 'full-precision' : 'quantized';
  const found = Number.isNaN(loss) ? 'not a number' : 'infinite';
  const where = await firstPlace(network, windows[window]!, signal);
  return new UserError(
    'evaluation/not-finite',
    `The ${variant} perplexity of "${name}" is ${found} from window ${window + 1} of ${windows.length} on: ${where}.`,
    isPlain
      ? 'The model overflows float32 at full precision, before anything is quantized: use another checkpoint.'
      : 'Evaluate at 16 bits first, then lower the bits of weights, activations, keys and values one at a time: this shows which of them overflows.',
  );
}

/** Says after which part of the network the first value is not finite. The weights of the file were scanned: they are. */
export async function firstPlace(network: Network, ids: Int32Array, signal?: AbortSignal): Promise<string> {
  const weights = network.options.mode === 'plain' ? '' : ', or its rotated and rounded weights,';
  let x = await network.embed(ids, signal);
  if (!x.data.every(Number.isFinite)) return 'the embeddings of its tokens are not finite';
  for (let layer = 0; layer < network.layers; layer++) {
    x = await network.layer(layer, x, { batch: 1, sequence: ids.length }, signal);
    if (!x.data.every(Number.isFinite))
      return `the activations of layer ${layer}${weights} are the first that are not finite`;
  }
  return `all ${network.layers} layers are finite, the logits are not`;
}
