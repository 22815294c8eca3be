import { compareText } from '../engine/index.ts';
import type { ComparisonEvent } from '../protocol/comparison.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { CompareParams } from '../protocol/worker.ts';

/** Full precision beside runs, in terms of the engine. */
export function comparisonOf(
  params: CompareParams,
): (signal: AbortSignal) => AsyncGenerator<RunEvent | ComparisonEvent, null> {
  const { runs, prompt, tokens, seed, stop, chat, device } = params;
  const { temperature, topK, topP, minP, repetitionPenalty } = params;
  const request = {
    from: runs.map((run) => ({ run })),
    prompt: { text: prompt, chat: chat ? { system: null } : null },
    tokens,
    choice: { repetitionPenalty, temperature, topK, topP, minP },
    seed,
    stops: stop === '' ? [] : [stop],
  };
  return async function* (signal) {
    yield* compareText(request, { signal, device: device ?? undefined });
    return null;
  };
}
