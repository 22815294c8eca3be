import type { ResolvedExperiment } from '../../config/index.ts';
import type { MethodTask } from '../methods/method.ts';
import { quantizersOf } from '../network/quantizers.ts';
import { type Cost, tokensOf } from '../network/work.ts';
import { networkBytes } from './memory.ts';
import type { StepContext } from './step.ts';
import { type Blocks, sizeOfText } from './steps/texts.ts';

/** The cost of a method that rounds has the memory of the merged network that it looks at. */
export function roundingCost(
  { bench }: StepContext,
  experiment: ResolvedExperiment,
  blocks: Blocks,
  costOf: (task: Omit<MethodTask<unknown>, 'options'>) => Cost,
): Cost {
  const { checkpoint } = bench;
  const text = sizeOfText(blocks);
  const { quantizers } = quantizersOf(experiment.quantization, experiment.rotation, checkpoint.config);
  const { work, bytes } = costOf({ config: checkpoint.config, text, quantizers });
  const network = { mode: 'merged', purpose: 'round' } as const;
  return { work, bytes: bytes + networkBytes(experiment, checkpoint, network, tokensOf(text)) };
}
