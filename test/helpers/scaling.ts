/** Runs a scaling method by itself. */
import type { ScalingMethod, ScalingWork } from '../../src/engine/methods/index.ts';
import type { SeamState } from '../../src/engine/network/seams.ts';
import type { RunEvent } from '../../src/protocol/events.ts';

type Optional = 'added' | 'merged' | 'learning' | 'quantizer' | 'scratch' | 'clipped' | 'kept' | 'training';
type Work<Options> = Omit<ScalingWork<Options>, Optional> & Partial<Pick<ScalingWork<Options>, Optional>>;

const QUANTIZER = { bits: 4, symmetric: true, group: 0, clipSearch: false } as const;

/** The numbers that a method adds. Without a scratch folder all must fit into memory. */
export async function scalesBy<Options>(
  method: ScalingMethod<Options>,
  work: Work<Options>,
  { signal, see }: { signal?: AbortSignal; see?: (event: RunEvent) => void } = {},
): Promise<SeamState> {
  const merged = () => {
    throw new Error('no merged networks');
  };
  const scratch = () => Promise.reject(new Error('no scratch folder'));
  const kept = () => Promise.reject(new Error('no folder of learned layers'));
  const given = {
    ...{ added: method.maps, merged, learning: merged, quantizer: QUANTIZER, scratch, clipped: () => [] },
    ...{ kept, training: kept },
    ...work,
  };
  const running = method.scale(given, signal);
  if (!(Symbol.asyncIterator in running)) return running;
  let next = await running.next();
  for (; !next.done; next = await running.next()) see?.(next.value);
  return next.value;
}
