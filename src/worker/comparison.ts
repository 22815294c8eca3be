import { compareText } from '../engine/index.ts';
import type { ComparisonEvent } from '../protocol/comparison.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { CompareParams } from '../protocol/worker.ts';

/** Full precision beside runs, in terms of the engine. */
export function comparisonOf(
  params: CompareParams,
): (signal: AbortSignal) => AsyncGenerator<RunEvent | ComparisonEvent, null> {
  const { runs, prompt, tokens, temperature, topP, seed, device } = params;
  const request = {
    from: runs.map((run) => ({ run })),
    prompt: { text: prompt, chat: null },
    tokens,
    choice: { repetitionPenalty: 1, temperature, topK: 0, topP, minP: 0 },
    seed,
  };
  return async function* (signal) {
    yield* compareText(request, { signal, device: device ?? undefined });
    return null;
  };
}
