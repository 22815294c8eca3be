/** Contract of the panel of generated text: does it still write well, and how fast? */
import { z } from 'zod';
import type { NetworkBytes, TextJudgement } from '../comparison.ts';
import { beginSchema, type Problem, type RunName, readySchema, runDirSchema } from './common.ts';
import { LONGEST_PROMPT, LONGEST_STOP, MOST_RUNS, type Range, SETTING_RANGES } from './generate-limits.ts';
import type { GenerateStrings } from './generate-strings.ts';

export type ColumnStatus = 'waiting' | 'working' | 'done' | 'stopped' | 'failed';

/** A token of the text at full precision. */
export interface WrittenToken {
  /** Empty where a character is not whole, and for a token that ends a text. */
  readonly text: string;
  /** Natural logarithm of its probability at full precision. */
  readonly logProbability: number;
}

/** What a run says to that token. */
export interface JudgedToken {
  readonly logProbability: number;
  /** KL(full precision ‖ run) in nats over the whole vocabulary. */
  readonly divergence: number;
}

/** Means over the judged text; null where a number is too large for JSON. */
export type Summary = { readonly [Name in keyof TextJudgement]: TextJudgement[Name] | null };

/** One network: full precision comes first. */
export interface GenerateColumn {
  /** Null for full precision. */
  readonly run: string | null;
  readonly name: string;
  /** The name with the setting of bits. */
  readonly title: string;
  /** Setting, such as `W4A4KV4`; empty until it is known. */
  readonly bits: string;
  readonly status: ColumnStatus;
  /** What it writes itself. */
  readonly text: string;
  /** UTF-16 units from the beginning in which the text is that at full precision. */
  readonly same: number;
  /** Tokens of its own text. */
  readonly tokens: number;
  readonly tokensPerSecond: { readonly prefill: number | null; readonly decode: number | null } | null;
  readonly bytes: NetworkBytes | null;
  /** Of the tokens at full precision, in their order; empty for full precision. */
  readonly judged: readonly JudgedToken[];
  readonly summary: Summary | null;
  readonly problem: Problem | null;
}

export interface GenerateState {
  readonly strings: GenerateStrings;
  readonly remembered: GenerateMemory;
  /** True where there are runs to choose from. */
  readonly hasRuns: boolean;
  /** The runs chosen for the next text. */
  readonly chosen: readonly RunName[];
  /** The prompt of the text that is shown. */
  readonly prompt: string;
  /** What is shown; none before the first text. */
  readonly columns: readonly GenerateColumn[];
  readonly tokens: readonly WrittenToken[];
  readonly running: boolean;
  /** What is at work, in words; empty where nothing is. */
  readonly activity: string;
  /** Share of the work that is done, 0 to 1. */
  readonly done: number;
  readonly problem: Problem | null;
}

const inRange = ({ min, max, isWhole }: Range) => (isWhole ? z.int() : z.number()).min(min).max(max);

export const generateSettingsSchema = z.strictObject({
  prompt: z.string().max(LONGEST_PROMPT),
  /** Tokens that each network writes at most. */
  tokens: inRange(SETTING_RANGES.tokens),
  temperature: inRange(SETTING_RANGES.temperature),
  /** Memories of earlier versions have neither this nor the others with a default. */
  topK: inRange(SETTING_RANGES.topK).default(0),
  topP: inRange(SETTING_RANGES.topP),
  minP: inRange(SETTING_RANGES.minP).default(0),
  repetitionPenalty: inRange(SETTING_RANGES.repetitionPenalty).default(1),
  seed: inRange(SETTING_RANGES.seed),
  /** Texts end before it; empty for none. */
  stop: z.string().max(LONGEST_STOP).default(''),
  /** True where the prompt is what a person says in a chat, by the model's template. */
  chat: z.boolean().default(false),
});
export type GenerateSettings = z.output<typeof generateSettingsSchema>;

export const generateMemorySchema = z.strictObject({
  /** Null: the newest run that ended. */
  runs: z.array(runDirSchema).max(MOST_RUNS).nullable(),
  settings: generateSettingsSchema,
});
export type GenerateMemory = z.output<typeof generateMemorySchema>;

export const generateIntentSchema = z.discriminatedUnion('type', [
  readySchema,
  beginSchema,
  z.strictObject({ type: z.literal('generate'), settings: generateSettingsSchema }),
  z.strictObject({ type: z.literal('stop') }),
  z.strictObject({ type: z.literal('add-run') }),
  z.strictObject({ type: z.literal('remove-run'), run: runDirSchema }),
]);
export type GenerateIntent = z.output<typeof generateIntentSchema>;
