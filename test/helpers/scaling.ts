/** Runs a scaling method by itself. */
import type { ScalingMethod, ScalingWork } from '../../src/engine/methods/index.ts';
import type { SeamState } from '../../src/engine/network/seams.ts';
import type { RunEvent } from '../../src/protocol/events.ts';

type Work<Options> = Omit<ScalingWork<Options>, 'merged'> & Partial<Pick<ScalingWork<Options>, 'merged'>>;

/** The numbers that a method adds. */
export async function scalesBy<Options>(
  method: ScalingMethod<Options>,
  work: Work<Options>,
  { signal, see }: { signal?: AbortSignal; see?: (event: RunEvent) => void } = {},
): Promise<SeamState> {
  const merged = () => {
    throw new Error('no merged networks');
  };
  const running = method.scale({ merged, ...work }, signal);
  if (!(Symbol.asyncIterator in running)) return running;
  let next = await running.next();
  for (; !next.done; next = await running.next()) see?.(next.value);
  return next.value;
}
