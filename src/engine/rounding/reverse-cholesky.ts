import type { HostTensor } from '../../protocol/tensor.ts';
import { reverseCholesky } from '../graph/fused/gptq.ts';
import { Graph } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { factorInLoops } from './factor-in-loops.ts';

/** T [n, n], written into the memory given, by the native operator or in loops. See {@link factorInLoops}. */
export async function reverseFactor(
  cache: ProgramCache,
  h: HostTensor<Float32Array>,
  damping: number,
  into: HostTensor<Float32Array>,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const [n = 0] = h.dims;
  if (!cache.abilities.ownKernels) {
    await factorInLoops(h.data, n, damping, into.data, signal);
    return into.data;
  }
  const program = await cache.get(REVERSE_CHOLESKY, { n, damping });
  return (await program.run({ h }, signal, { t: into })).t.data;
}

const REVERSE_CHOLESKY: ProgramKind<{ readonly n: number; readonly damping: number }, { t: Reals }> = {
  name: 'reverse-cholesky',
  build({ n, damping }) {
    const graph = new Graph();
    return { graph, outputs: { t: reverseCholesky(graph.input('h', [n, n]), damping) } };
  },
};
