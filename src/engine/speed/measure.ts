import { throwIfCancelled } from '../../protocol/errors.ts';
import type { ContenderName, Rate, SpeedEvent, SpeedSizes } from '../../protocol/speed.ts';
import { type Contender, rateOf } from './contender.ts';

/** Tokens that are measured behind each depth, in every round. */
export const DEPTH_TOKENS = 32;

/** The longest text that is read: the prompt and what follows, or what is read behind the last depth. */
export function longestText({ promptTokens, tokens, depths }: SpeedSizes): number {
  return Math.max(promptTokens + tokens, ...depths.map((depth) => depth + DEPTH_TOKENS));
}

export interface MeasuredRates {
  readonly prompt: Rate;
  readonly decode: Rate;
  readonly depths: readonly { readonly depth: number; readonly decode: Rate }[];
}

/** Seconds of the rounds that count. */
interface Taken {
  readonly contender: Contender;
  readonly prompt: number[];
  readonly decode: number[];
  readonly depths: ReadonlyMap<number, number[]>;
}

/**
 * Measures all in turn, round after round, and all depths in each: what else the machine does, and how fast its memory
 * is, disturbs all alike. The first round warms up: it compiles programs and fills caches.
 * @param between called before every round.
 */
export async function* measureInTurn(
  contenders: readonly Contender[],
  sizes: SpeedSizes,
  between: () => void,
  signal?: AbortSignal,
): AsyncGenerator<SpeedEvent, ReadonlyMap<ContenderName, MeasuredRates>> {
  const all = contenders.map((contender): Taken => {
    const depths = new Map(sizes.depths.map((depth) => [depth, []]));
    return { contender, prompt: [], decode: [], depths };
  });
  yield* inTurn(all, [null], sizes, between, signal);
  for (const { contender } of all) contender.rewind();
  yield* inTurn(all, sizes.depths, sizes, between, signal);
  return new Map(all.map((taken) => [taken.contender.name, ratesOf(taken, sizes)]));
}

async function* inTurn(
  all: readonly Taken[],
  depths: readonly (number | null)[],
  { repeat }: SpeedSizes,
  between: () => void,
  signal?: AbortSignal,
): AsyncGenerator<SpeedEvent> {
  for (let round = 0; round <= repeat; round++)
    for (const depth of depths) {
      between();
      for (const taken of all) {
        throwIfCancelled(signal);
        const { name, warmsUp } = taken.contender;
        if (round === 0 && !warmsUp) continue;
        yield { type: 'speed-progress', name, round, of: repeat, depth };
        await measureOnce(taken, depth, round > 0, signal);
      }
    }
}

async function measureOnce(
  { contender, prompt, decode, depths }: Taken,
  depth: number | null,
  counts: boolean,
  signal?: AbortSignal,
): Promise<void> {
  if (depth !== null) {
    const seconds = await contender.behind(depth, DEPTH_TOKENS, signal);
    if (counts) depths.get(depth)?.push(seconds);
    return;
  }
  const seconds = await contender.text(signal);
  if (!counts) return;
  prompt.push(seconds.prompt);
  decode.push(seconds.decode);
}

function ratesOf(taken: Taken, { promptTokens, tokens }: SpeedSizes): MeasuredRates {
  return {
    prompt: rateOf(promptTokens, taken.prompt),
    decode: rateOf(tokens, taken.decode),
    depths: [...taken.depths].map(([depth, seconds]) => ({ depth, decode: rateOf(DEPTH_TOKENS, seconds) })),
  };
}
