import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { formatBytes, formatCount } from '../../protocol/text.ts';
import { renderChat } from '../model/chat-template.ts';
import { cacheBytes } from '../network/cache-form.ts';
import { machineBytes } from './machine-bytes.ts';
import type { Workbench } from './workbench.ts';
import type { WritingForm } from './writer-network.ts';

export interface Prompt {
  readonly text: string;
  /** Null: the text is continued as it stands. Else it is what a user says in a conversation. */
  readonly chat: { readonly system: string | null } | null;
}

/** Tokens that are written where nobody says how many. */
const USUAL_TOKENS = 128;

/**
 * The tokens of a prompt. It begins with BOS where the tokenizer's files say so; a chat template writes its own. An empty
 * prompt is BOS alone.
 * @throws UserError `generate/empty-prompt`, those of `renderChat` and of the tokenizer.
 */
export async function readPrompt({ checkpoint, tokenizer }: Workbench, prompt: Prompt): Promise<Int32Array> {
  const source = 'The prompt';
  const { text, chat } = prompt;
  if (chat) {
    const system = chat.system === null ? [] : [{ role: 'system' as const, content: chat.system }];
    const written = await renderChat(checkpoint.dir, [...system, { role: 'user', content: text }]);
    return expectTokens(tokenizer.encode(written, { source }));
  }
  const hasBos = tokenizer.bosId !== null;
  return expectTokens(tokenizer.encode(text, { source, bos: hasBos && (tokenizer.addsBos || text === '') }));
}

/** Tells of characters that became the token for unknown ones. A person may have written that token itself. */
export function* promptWarnings(
  { tokenizer: { unknownId, decode } }: Workbench,
  { text }: Prompt,
  ids: Int32Array,
): Generator<RunEvent> {
  if (unknownId === null || !ids.includes(unknownId)) return;
  const known = JSON.stringify(decode(ids).slice(0, 80));
  const message = `The tokenizer does not know all of the prompt ${JSON.stringify(text.slice(0, 80))}: what the model reads is ${known}.`;
  const hint = 'Write the prompt with characters that the model was trained on.';
  yield timed({ type: 'warning', message, hint });
}

function expectTokens(ids: Int32Array): Int32Array {
  if (ids.length > 0) return ids;
  throw new UserError(
    'generate/empty-prompt',
    'The prompt has no tokens, and the tokenizer has no token for the beginning of a text.',
    'Write a prompt: the model needs something to go on from.',
  );
}

/**
 * How many tokens are written at most, and the bytes of keys and values for these and the prompt.
 * @param wanted null: the usual number, or as many as there is room for.
 * @throws UserError `generate/context`, `generate/memory`.
 */
export function tokensToWrite(
  { checkpoint: { config, dir } }: Workbench,
  prompt: number,
  wanted: number | null,
  { cache, positions }: WritingForm,
): { readonly tokens: number; readonly cacheBytes: number } {
  const room = positions - prompt;
  const isShort = positions < config.maxPositions;
  const where = isShort
    ? 'of its ONNX model, which has the angles of short texts'
    : 'max_position_embeddings';
  if (room < (wanted ?? 1)) throw tooLong(dir, { prompt, wanted, positions, where });
  const tokens = wanted ?? Math.min(USUAL_TOKENS, room);
  const bytes = cacheBytes(config, prompt + tokens, cache);
  const there = machineBytes();
  if (bytes <= there) return { tokens, cacheBytes: bytes };
  throw new UserError(
    'generate/memory',
    `Keys and values of ${prompt + tokens} tokens take ${formatBytes(bytes)}; this machine has ${formatBytes(there)} of memory.`,
    'Ask for fewer tokens, or shorten the prompt.',
  );
}

interface Length {
  readonly prompt: number;
  readonly wanted: number | null;
  readonly positions: number;
  readonly where: string;
}

function tooLong(dir: string, { prompt, wanted, positions, where }: Length): UserError {
  const more = wanted === null ? '' : ` and ${wanted} more ${wanted === 1 ? 'is' : 'are'} asked for`;
  const room = positions - prompt;
  return new UserError(
    'generate/context',
    `The prompt has ${prompt} tokens${more}; ${dir} has ${positions} positions (${where}).`,
    room > 0
      ? `Ask for at most ${formatCount(room, 'token')}, or shorten the prompt.`
      : 'Shorten the prompt.',
  );
}
