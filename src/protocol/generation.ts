/** What a network that writes text reports, and what it has written at the end. */

/** Why a text ended. */
export type TextEnd = 'tokens' | 'end-token' | 'stop' | 'cancelled';

/** The prompt is read and fits: the network is about to be made ready. */
export interface PromptEvent {
  readonly type: 'prompt';
  readonly ids: readonly number[];
  /** Tokens that are written at most. */
  readonly tokens: number;
  /** Bytes of keys and values for all tokens. */
  readonly cacheBytes: number;
}

/** A token was chosen. */
export interface TokenEvent {
  readonly type: 'token';
  readonly id: number;
  /** Logarithm of its probability by softmax, before any rule of sampling, in nats. */
  readonly logProbability: number;
  /** Text that is certain since the last event: empty where a character is not whole, or a stop string may begin. */
  readonly text: string;
}

/** The text is whole. */
export interface TextEndEvent {
  readonly type: 'text-end';
  /** Text that was held back. */
  readonly text: string;
  readonly ended: TextEnd;
}

export type GenerationEvent = PromptEvent | TokenEvent | TextEndEvent;

/** What was written, and how fast. */
export interface WrittenText {
  /** The text behind the prompt, without special tokens, the token that ended it and the stop string. */
  readonly text: string;
  /** All tokens behind the prompt, with the one that ended it. */
  readonly ids: readonly number[];
  readonly ended: TextEnd;
  /** The string that ended it; null where none did. */
  readonly stop: string | null;
  /** Reading the prompt, to the first token; and all tokens after that. */
  readonly seconds: { readonly prefill: number; readonly decode: number };
  /** Tokens of the prompt, and tokens after the first; null where there are none. */
  readonly tokensPerSecond: { readonly prefill: number | null; readonly decode: number | null };
}
