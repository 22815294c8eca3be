/** The network of a writer, and the job that makes it. */
import { tmpdir } from 'node:os';
import type { JobKind, RunEvent } from '../../protocol/events.ts';
import type { Network } from '../network/network.ts';
import type { Executor } from './execute.ts';
import { planQuantized } from './experiment-plan.ts';
import type { JobSetting } from './job.ts';
import { keptNetwork } from './kept-network.ts';
import { deployedProducts, plainNetwork } from './networks.ts';
import type { OpenedWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { Places } from './places.ts';
import { quantizedNetwork } from './steps/measures.ts';
import type { Workbench } from './workbench.ts';

/** A job that keeps nothing, and takes what the writer's run has. */
export function writerSetting(
  job: JobKind,
  { experiment, run }: OpenedWriter,
  options: EngineOptions,
): JobSetting {
  const runs = run ? experiment.runs : tmpdir();
  const places = new Places(null, run ? [run.dir] : [], runs);
  return { job, experiment, options, places, run: run?.dir ?? null };
}

/**
 * The network that writes: of a model the plain one.
 * @param simulated true where quantization is simulated in float32, else products are of whole numbers where they can be.
 */
export async function* networkOf(
  opened: OpenedWriter,
  bench: Workbench,
  executor: Executor,
  simulated = false,
): AsyncGenerator<RunEvent, Network> {
  if (opened.isPlain) return plainNetwork(bench);
  return yield* mergedNetworkOf(opened, bench, executor, !simulated && multipliesIntegers(bench));
}

/** The merged network, with its weights trained, mapped and rounded; also of a model. */
export async function* mergedNetworkOf(
  opened: OpenedWriter,
  bench: Workbench,
  executor: Executor,
  integer: boolean,
): AsyncGenerator<RunEvent, Network> {
  const form = { path: opened.source?.rotations ?? null, integer };
  const kept = yield* keptNetwork(opened, form, bench, executor);
  if (kept) return kept;
  const quantized = await planQuantized(bench.experiment, bench, form);
  const { maps, trained, weights } = quantized;
  if (trained) yield* executor.execute(trained);
  yield* executor.execute(maps);
  if (weights) yield* executor.execute(weights);
  return quantizedNetwork(executor, quantized);
}

/** A run with weights of 4 bits is deployed so, where our operators have kernels. */
function multipliesIntegers(bench: Workbench): boolean {
  return bench.cache.abilities.ownKernels && deployedProducts(bench).integer.length > 0;
}
