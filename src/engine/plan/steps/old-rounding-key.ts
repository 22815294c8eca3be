import { NO_TRAINING, type ResolvedExperiment } from '../../../config/index.ts';
import type { SeamState } from '../../network/seams.ts';
import { planHadamard } from '../../rotation/hadamard-plan.ts';
import { namedRotations } from '../experiment-maps.ts';
import { digestOf } from '../step.ts';
import type { Workbench } from '../workbench.ts';
import type { Blocks } from './texts.ts';

/** The key under which versions before 0.2 kept weights that GPTQ rounded; null where they could not have. */
export async function oldRoundingKey(
  { checkpoint, runtime }: Workbench,
  { quantization, rotation, scaling, training }: ResolvedExperiment,
  state: SeamState,
  blocks: Blocks,
): Promise<string | null> {
  const { gptq, bits, method, groupSize, symmetric, clip } = quantization.weights;
  if (method !== 'gptq' || scaling.method !== 'none' || rotation.acrossHeads) return null;
  if (rotation.r4Blocks !== 'widest' || rotation.r2Per !== 'layer') return null;
  if (training.method !== NO_TRAINING) return null;
  if (gptq.actOrder || gptq.groupScales !== 'static') return null;
  if (gptq.inputs !== 'full-precision' || gptq.target !== 'weights') return null;
  if (gptq.foem > 0 || gptq.magr > 0 || gptq.sweeps > 0 || gptq.learnedClip) return null;
  const r4 = `R4: ${planHadamard(checkpoint.config.intermediateSize).statement}`;
  const settings = {
    format: 1,
    kernels: runtime.kernels,
    device: runtime.device.kind,
    model: await checkpoint.hash(),
    grid: { bits, method, groupSize, symmetric, clip },
    damping: gptq.damping,
    hadamard: rotation.r4 ? [r4] : [],
    centring: rotation.embeddingCentring,
  };
  const { r1, r2 } = namedRotations(state, checkpoint.config);
  return digestOf(settings, [...(r1 ? [r1] : []), ...(r2 ?? []), ...blocks]);
}
