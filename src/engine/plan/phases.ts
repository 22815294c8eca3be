import { type PhaseName, type RunEvent, timed } from '../../protocol/events.ts';

/** Seconds of each phase by name; phases that happen twice are summed. */
export type PhaseSeconds = Record<string, number>;

/** Frames a piece of work with `phase` events and adds its duration to `seconds`. */
export async function* phase<T>(
  name: PhaseName,
  seconds: PhaseSeconds,
  work: () => Promise<T> | AsyncGenerator<RunEvent, T>,
  detail?: string,
): AsyncGenerator<RunEvent, T> {
  const about = { phase: name, ...(detail !== undefined && { detail }) };
  const began = performance.now();
  yield timed({ type: 'phase', state: 'started', ...about });
  const running = work();
  const result = Symbol.asyncIterator in running ? yield* running : await running;
  const duration = (performance.now() - began) / 1000;
  seconds[name] = (seconds[name] ?? 0) + duration;
  yield timed({ type: 'phase', state: 'finished', ...about, seconds: duration });
  return result;
}
