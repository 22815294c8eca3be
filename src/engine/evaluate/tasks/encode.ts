/** Questions as token ids, by the rules of lm-evaluation-harness for causal models (`TemplateLM._encode_pair`). */
import { UserError } from '../../../protocol/errors.ts';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { Breath } from '../../runtime/breath.ts';
import { rstrip } from './python-text.ts';
import type { Choice, Question } from './question.ts';

/** One choice as the network meets it: the last of its ids is only predicted. */
export interface Request {
  /** The ids that go in, at least one. */
  readonly input: Int32Array;
  /** The ids of the continuation: they are predicted from the last positions of the input, one each. */
  readonly labels: Int32Array;
  /** See {@link Choice.bytes}. */
  readonly bytes: number;
}

export interface EncodedQuestion {
  readonly requests: readonly Request[];
  readonly gold: number;
  /** For messages. */
  readonly place: () => string;
}

export interface EncodedTask {
  /** Name of the task. */
  readonly task: string;
  readonly questions: readonly EncodedQuestion[];
  /** Questions of which a choice has more tokens than the model has positions: its beginning was cut off. */
  readonly cut: number;
}

/**
 * Encodes questions. No beginning-of-sequence token stands in front, as lm-evaluation-harness has it for LLaMA unless told
 * otherwise: it encodes with `add_special_tokens=False`.
 * @param positions of the model: of a longer choice, the last ones are kept.
 * @throws UserError `tasks/no-tokens`, besides those of the tokenizer.
 */
export async function encodeTask(
  task: string,
  questions: readonly Question[],
  tokenizer: Tokenizer,
  positions: number,
  signal?: AbortSignal,
): Promise<EncodedTask> {
  const breath = new Breath(signal);
  const encoded: EncodedQuestion[] = [];
  let cut = 0;
  for (const { choices, gold, place } of questions) {
    await breath.draw();
    const encode = remembering(tokenizer, place);
    const pairs = choices.map((choice) => encodePair(choice, tokenizer, encode, place));
    if (pairs.some(([context, continuation]) => context.length + continuation.length > positions + 1)) cut++;
    const requests = pairs.map((pair, i) => requestOf(pair, choices[i]!.bytes, positions));
    encoded.push({ requests, gold, place });
  }
  return { task, questions: encoded, cut };
}

type Encode = (text: string) => Int32Array;

/** The choices of a question mostly share their context. */
function remembering(tokenizer: Tokenizer, place: () => string): Encode {
  const known = new Map<string, Int32Array>();
  return (text) => {
    const ids = known.get(text) ?? encodeAt(tokenizer, text, place);
    known.set(text, ids);
    return ids;
  };
}

/** The place is worked out for messages alone. */
function encodeAt(tokenizer: Tokenizer, text: string, place: () => string): Int32Array {
  try {
    return tokenizer.encode(text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return tokenizer.encode(text, { source: place() });
  }
}

/**
 * Context and continuation are encoded as one text, and what is longer than the context alone is the continuation. Spaces
 * at the end of the context go to the continuation first: tokenizers join a space with the word behind it.
 */
function encodePair(
  { context, continuation }: Choice,
  tokenizer: Tokenizer,
  encode: Encode,
  place: () => string,
): readonly [context: Int32Array, continuation: Int32Array] {
  const before = rstrip(context);
  const behind = context.slice(before.length) + continuation;
  const ids = before === '' ? startOf(tokenizer, place) : encode(before);
  const rest = before === '' ? encode(behind) : encode(before + behind).subarray(ids.length);
  if (ids.length > 0 && rest.length > 0) return [ids, rest];
  throw new UserError(
    'tasks/no-tokens',
    `${place()}: the tokenizer of the model makes no token of ${JSON.stringify(behind.slice(0, 40))} behind its context.`,
    'Take the question out of the file.',
  );
}

/** Without a context, the first token of a choice is predicted from BOS, or EOS where there is none. */
function startOf({ bosId, eosId }: Tokenizer, place: () => string): Int32Array {
  const id = bosId ?? eosId;
  if (id !== null) return Int32Array.of(id);
  throw new UserError(
    'tasks/no-context',
    `${place()}: the question has no context, and the tokenizer of the model no token to begin with.`,
    'Take the question out of the file, or name bos_token in tokenizer_config.json.',
  );
}

/** Cuts from the left to positions + 1 ids, of which the last is no input. */
function requestOf(
  [context, continuation]: readonly [Int32Array, Int32Array],
  bytes: number,
  positions: number,
): Request {
  const ids = Int32Array.from([...context, ...continuation]).subarray(-(positions + 1));
  const labels = ids.subarray(Math.max(1, ids.length - continuation.length));
  return { input: ids.subarray(0, -1), labels, bytes };
}
