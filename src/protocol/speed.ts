/** How fast networks read a prompt and tokens behind it, measured in turn. */

/** Who is measured: the run in whole numbers, or simulated; its model; and what else would be used. */
export const CONTENDER_NAMES = ['integer', 'simulated', 'full-precision', 'onnx', 'llama.cpp'] as const;
export type ContenderName = (typeof CONTENDER_NAMES)[number];

/** Those that can be asked for beside what a run or model is used as. */
export const BESIDE_NAMES = ['simulated', 'full-precision', 'onnx'] as const;
export type BesideName = (typeof BESIDE_NAMES)[number];

/** What is measured of each. */
export interface SpeedSizes {
  readonly promptTokens: number;
  /** Tokens behind the prompt. */
  readonly tokens: number;
  /** Numbers of tokens behind which a few more are measured, ascending. */
  readonly depths: readonly number[];
  /** Rounds that count, in which each is measured once. */
  readonly repeat: number;
}

/** Tokens of the text whose speed is measured. */
export type TextSizes = Pick<SpeedSizes, 'promptTokens' | 'tokens'>;

/** Tokens per second over the rounds. The spread, fastest against slowest, is the noise of the machine. */
export interface Rate {
  readonly fastest: number;
  readonly median: number;
  readonly slowest: number;
}

export interface ContenderSpeed {
  readonly name: ContenderName;
  /** What it is, for people: `W4A8KV16, integer matmul`. */
  readonly title: string;
  readonly prompt: Rate;
  readonly decode: Rate;
  readonly depths: readonly { readonly depth: number; readonly decode: Rate }[];
  /** Bytes of all weights in the forms in which they are read; of a file where only that is known. */
  readonly weightBytes: number;
  /** Bytes of a token's keys and values, scales included; null where not known. */
  readonly cacheBytesPerToken: number | null;
  /** The same against 2 bytes a number. */
  readonly cacheOf16Bits: number | null;
  /** Bytes of weights, keys and values that a token behind the prompt reads at least; null where not known. */
  readonly readBytesPerToken: number | null;
  /** {@link readBytesPerToken} in the fastest round, against the measured bandwidth; null where either is not known. */
  readonly ofBandwidth: number | null;
  /** Seconds from nothing opened to the logits of a first token, in a process that runs; null where not known. */
  readonly firstTokenSeconds: number | null;
}

/** One that was not measured. */
export interface LeftOut {
  readonly name: ContenderName | 'depth';
  /** Why, and what to do, as a sentence. */
  readonly reason: string;
}

/** A part of a round begins. */
export interface SpeedEvent {
  readonly type: 'speed-progress';
  readonly name: ContenderName;
  /** From 1; 0 warms up and does not count. */
  readonly round: number;
  readonly of: number;
  /** Tokens behind which is measured; null for the prompt and what follows. */
  readonly depth: number | null;
}
