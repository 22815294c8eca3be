/** States of the panel of generated text, made of events as the worker sends them. */
import { Comparison } from '../../src/extension/panels/generate/comparison.ts';
import { generateState } from '../../src/extension/panels/generate/state.ts';
import type { ColumnEvent, ComparisonEvent } from '../../src/protocol/comparison.ts';
import type { RunName } from '../../src/protocol/panels/common.ts';
import type { GenerateState } from '../../src/protocol/panels/generate.ts';
import { generateStrings } from '../../src/protocol/panels/generate-strings.ts';

const WORDS =
  ' there was a little girl named Lily . She loved to play outside in the park . One day , she saw a big , red ball .\n She wanted to play with it , but it was too high .';
const PIECES = WORDS.split(/(?= )/);
export const strings = generateStrings((text) => text);

export const RUNS: readonly RunName[] = [
  {
    dir: '/runs/spin',
    name: 'quick 21 Nov, 19:45',
    title: 'quick 21 Nov, 19:45 · W4A4KV4',
    bits: 'W4A4KV4',
    startedAt: '2026-11-21T18:45:00Z',
  },
  {
    dir: '/runs/rtn',
    name: 'nearest, without rotations',
    title: 'nearest, without rotations · W4A4KV4',
    bits: 'W4A4KV4',
    startedAt: '2026-11-21T18:40:00Z',
  },
];
export const SETTINGS = {
  prompt: 'Once upon a time',
  tokens: PIECES.length,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
  stop: '',
  chat: false,
};

/** Differences of log-probabilities that reach every step of colour. */
const DIFFERENCES = [0.01, -0.2, 0.3, -0.8, 0.7, -2.5, 2.2, -0.05, 0, -0.4];
const logAt = (token: number): number => -0.1 - ((token * 7) % 11) / 4;

export function eventsOf(column: number, scale: number): ColumnEvent[] {
  const isRun = column > 0;
  const own = PIECES.map((piece, token) =>
    isRun && token > 12 * (3 - column) ? piece.replace('a', 'o') : piece,
  );
  const judged = PIECES.map((_, token) => {
    const difference = scale * DIFFERENCES[token % DIFFERENCES.length]!;
    return { logProbability: logAt(token) + difference, divergence: Math.abs(difference) * 0.6 + 0.01 };
  });
  const mean = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  return [
    { type: 'started' },
    {
      type: 'network',
      bits: isRun ? 'W4A4KV4' : 'W16A16KV16',
      bytes: { weights: isRun ? 96e6 : 269e6, cachePerToken: isRun ? 6120 : 23_040 },
    },
    { type: 'prompt', ids: [1, 2, 3], tokens: PIECES.length, cacheBytes: 1e6 },
    ...own.map((text, token) => ({ type: 'token' as const, id: token, text, logProbability: logAt(token) })),
    { type: 'text-end', text: '', ended: 'tokens' },
    {
      type: 'written',
      ended: 'tokens',
      tokensPerSecond: { prefill: 210.5 * (column + 1), decode: 31.25 * (column + 1) },
    },
    ...(isRun ? judged.map((token) => ({ type: 'judged' as const, ...token })) : []),
    {
      type: 'text-judged',
      tokens: PIECES.length,
      perplexity: 3.9 + column,
      meanDifference: mean(judged.map(({ logProbability }, token) => logProbability - logAt(token))),
      meanDivergence: isRun ? mean(judged.map(({ divergence }) => divergence)) : 0,
    },
  ];
}

export function allEvents(): ComparisonEvent[] {
  return [0, 1, 2].flatMap((column) =>
    eventsOf(column, column).map((event): ComparisonEvent => ({ type: 'column', column, event })),
  );
}

/** A comparison after so many events. */
export function comparedAfter(count = Number.POSITIVE_INFINITY): Comparison {
  const comparison = new Comparison(
    SETTINGS.prompt,
    RUNS.map(({ dir }) => dir),
  );
  comparison.hear(allEvents().slice(0, count));
  return comparison;
}

export function generatedOf(changes: Partial<Parameters<typeof generateState>[0]> = {}): GenerateState {
  return generateState({
    strings,
    memory: { runs: RUNS.map(({ dir }) => dir), settings: SETTINGS },
    hasRuns: true,
    chosen: RUNS,
    comparison: comparedAfter(),
    names: RUNS,
    unrotated: new Set(['/runs/rtn']),
    running: false,
    problem: null,
    ...changes,
  });
}
