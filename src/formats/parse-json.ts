import { messageOf, UserError } from '../protocol/errors.ts';

/** serde_json, which tokenizers and safetensors use, refuses to go deeper than this. No file of a model does. */
const MAX_DEPTH = 128;

/** What the error about a text says. */
export interface JsonWords {
  /** `file/json` by default. */
  readonly code?: string;
  /** The part of the file that is parsed, as "the header"; the whole file by default. */
  readonly part?: string;
  /** What the person can do. */
  readonly hint?: string;
}

/**
 * Parses JSON that somebody else wrote. A UTF-8 byte order mark is dropped. The depth is limited, so that whoever walks
 * the value cannot run out of stack.
 * @param path of the file, for the message.
 * @throws UserError for a text that is not JSON or nested too deep; it is the only error.
 */
export function parseJson(text: string, path: string, words: JsonWords = {}): unknown {
  const { code = 'file/json', part, hint = 'Mend the file, or copy or download it again.' } = words;
  const subject = part === undefined ? path : `${path}: ${part}`;
  if (isDeeper(text, MAX_DEPTH))
    throw new UserError(
      code,
      `${subject} nests lists and objects more than ${MAX_DEPTH} deep; no file of this kind does.`,
      hint,
    );
  const start = text.startsWith('\ufeff') ? 1 : 0;
  try {
    return JSON.parse(start === 0 ? text : text.slice(start)) as unknown;
  } catch (error) {
    throw new UserError(code, `${subject} is not valid JSON: ${reasonOf(error)}.`, hint);
  }
}

/** Looks at brackets outside of texts; whether they match is for JSON.parse to say. */
function isDeeper(text: string, limit: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22:
        i = endOfText(text, i);
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > limit) return true;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
    }
  }
  return false;
}

/** Returns where the text that begins with the quotation mark at `start` ends. */
function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** The parser's own words may quote the file: control characters of it do not reach a terminal. */
function reasonOf(error: unknown): string {
  return messageOf(error)
    .replace(/,? (?:is not valid|in) JSON/, '')
    .replace(/\p{Cc}/gu, '\ufffd');
}
