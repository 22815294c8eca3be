/** Texts of a network at full precision and of quantized ones, beside each other: what is told on the way, and at the end. */
import type { GenerationEvent, TextEnd } from './generation.ts';

/** Bytes that a network takes, in the forms in which it reads them. */
export interface NetworkBytes {
  readonly weights: number;
  /** Keys and values of one token. */
  readonly cachePerToken: number;
}

export interface ColumnStarted {
  readonly type: 'started';
}

/** The network of a column is known. */
export interface ColumnNetwork {
  readonly type: 'network';
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  readonly bytes: NetworkBytes;
}

/** A column has written its own text. */
export interface ColumnWritten {
  readonly type: 'written';
  readonly ended: TextEnd;
  /** Of the prompt, and of tokens after the first; null where there are none. */
  readonly tokensPerSecond: { readonly prefill: number | null; readonly decode: number | null };
}

/** What a network says to the next token of the text at full precision, behind that text so far. */
export interface TokenJudgement {
  /** Logarithm of the token's probability by softmax, in nats. */
  readonly logProbability: number;
  /** KL(P ‖ Q) in nats over the whole vocabulary, P at full precision, Q of this network. */
  readonly divergence: number;
}

/** Come in the order of the tokens of the text at full precision. */
export interface TokenJudged extends TokenJudgement {
  readonly type: 'judged';
}

/** Means over the tokens of the text at full precision. */
export interface TextJudgement {
  readonly tokens: number;
  /** exp of the mean of −log-probability. */
  readonly perplexity: number;
  /** Mean of the log-probability minus that at full precision, in nats. */
  readonly meanDifference: number;
  /** Mean of KL(P ‖ Q) in nats. */
  readonly meanDivergence: number;
}

export interface ColumnJudged extends TextJudgement {
  readonly type: 'text-judged';
}

/** A fault of this column alone: the others go on. */
export interface ColumnFailed {
  readonly type: 'failed';
  readonly message: string;
  readonly hint: string;
}

export type ColumnEvent =
  | ColumnStarted
  | GenerationEvent
  | ColumnNetwork
  | ColumnWritten
  | TokenJudged
  | ColumnJudged
  | ColumnFailed;

/** Something happened in a column: 0 is full precision, the others come in the order in which they were named. */
export interface ComparisonEvent {
  readonly type: 'column';
  readonly column: number;
  readonly event: ColumnEvent;
}
