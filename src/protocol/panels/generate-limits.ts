/** What the fields of the panel of generated text may hold: for the host, which checks, and the page, which says so. */

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly isWhole: boolean;
}

export const SETTING_RANGES = {
  /** A page with so many tokens in each column still follows the writing. */
  tokens: { min: 1, max: 512, isWhole: true },
  /** 0 takes the most likely token. */
  temperature: { min: 0, max: 10, isWhole: false },
  /** 0 leaves all tokens. */
  topK: { min: 0, max: 1_000_000, isWhole: true },
  topP: { min: 0.01, max: 1, isWhole: false },
  minP: { min: 0, max: 1, isWhole: false },
  /** 1 leaves tokens that the text has as likely as they are. */
  repetitionPenalty: { min: 0.01, max: 100, isWhole: false },
  seed: { min: 0, max: 2_147_483_647, isWhole: true },
} as const satisfies Record<string, Range>;

export const LONGEST_PROMPT = 100_000;
export const LONGEST_STOP = 200;
/** Each has its colour and its letter. */
export const MOST_RUNS = 5;
