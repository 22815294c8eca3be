import type { Piece } from '../sentencepiece-json.ts';
import { buildSentencePieceJson } from '../sentencepiece-json.ts';
import { bytePiece } from '../tokenizer/bytes.ts';
import { addedToken, aroundText } from '../tokenizer-json.ts';
import type { GgufFields } from './fields.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import { DEFAULT_PRE_TOKENIZER, PRE_TOKENIZERS } from './pre-tokenizers.ts';
import type { GgufVocabulary } from './vocabulary.ts';
import { readVocabulary, tokenizerFault } from './vocabulary.ts';

export interface GgufTokenizer {
  readonly vocabulary: GgufVocabulary;
  /** Contents of `tokenizer.json`. */
  readonly json: object;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Each warning tells the person about something that the file leaves open. */
  readonly warnings: readonly string[];
}

/**
 * Builds the tokenizer of a GGUF file: `tokenizer.ggml.model` "gpt2" (byte-level BPE) or "llama" (SentencePiece BPE).
 * @param rows number of rows of the embedding.
 * @throws UserError `gguf/tokenizer`, `gguf/metadata`
 */
export function buildGgufTokenizer(fields: GgufFields, rows: number): GgufTokenizer {
  const vocabulary = readVocabulary(fields, rows);
  const model = fields.text('tokenizer.ggml.model');
  if (model === 'gpt2') return byteLevelTokenizer(fields, vocabulary);
  if (model === 'llama') return sentencePieceTokenizer(fields, vocabulary);
  throw tokenizerFault(
    fields.path,
    `tokenizer.ggml.model is ${JSON.stringify(model)}; supported are "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE)`,
    'Use the Hugging Face folder of the model: its tokenizer.json may be of a kind that is read.',
  );
}

function byteLevelTokenizer(fields: GgufFields, vocabulary: GgufVocabulary): GgufTokenizer {
  const { texts, kinds, bos, eos } = vocabulary;
  const { pre, warnings } = choosePreTokenizer(fields);
  const addBos = vocabulary.addBos ?? pre.addBos;
  const addEos = vocabulary.addEos ?? false;
  const added = texts.flatMap((content, id) => {
    const special = kinds[id] === 'control' || kinds[id] === 'unknown';
    return special || kinds[id] === 'literal' ? [addedToken({ id, content }, special)] : [];
  });
  // llama.cpp gives names to the rows of the embedding without a token.
  const isFiller = (text: string, id: number): boolean => kinds[id] === 'unused' && text === `[PAD${id}]`;
  const vocab = Object.fromEntries(
    texts.map((text, id) => [text, id] as const).filter(([text, id]) => !isFiller(text, id)),
  );
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: pre.normalizer,
    pre_tokenizer: pre.preTokenizer,
    post_processor: aroundText(addBos ? bos : null, addEos ? eos : null),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges,
      vocab,
      merges: readMerges(fields, new Set(texts)),
    },
  };
  return { vocabulary, json, addBos, addEos, warnings };
}

function choosePreTokenizer(fields: GgufFields): { pre: PreTokenizer; warnings: string[] } {
  const name = fields.text('tokenizer.ggml.pre');
  if (name === undefined || name === 'default')
    return {
      pre: DEFAULT_PRE_TOKENIZER,
      warnings: [
        `${fields.path} does not tell how its tokenizer cuts a text into words (tokenizer.ggml.pre is ${name === undefined ? 'missing' : '"default"'}): llama.cpp's default is used, which may give other tokens than the model was trained with.`,
      ],
    };
  const pre = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (pre) return { pre, warnings: [] };
  throw tokenizerFault(
    fields.path,
    `tokenizer.ggml.pre is ${JSON.stringify(name)}; supported are ${Object.keys(PRE_TOKENIZERS).join(', ')}, default`,
    "Use the model's Hugging Face folder, whose tokenizer.json holds the rule itself. If you know that a name of the list has the same rule, set it with gguf_new_metadata.py --pre-tokenizer NAME (from llama.cpp's gguf-py).",
  );
}

function readMerges(fields: GgufFields, known: ReadonlySet<string>): [string, string][] {
  const merges = fields.texts('tokenizer.ggml.merges');
  if (!merges) throw tokenizerFault(fields.path, 'tokenizer.ggml.merges is missing');
  return merges.map((merge, i) => {
    // The left part may itself be a space.
    const at = merge.indexOf(' ', 1);
    const [left, right] = [merge.slice(0, at), merge.slice(at + 1)];
    if (at > 0 && [left, right, left + right].every((text) => known.has(text))) return [left, right];
    throw tokenizerFault(
      fields.path,
      `merge ${i} (${JSON.stringify(merge)}) does not join two tokens to a third`,
    );
  });
}

function sentencePieceTokenizer(fields: GgufFields, vocabulary: GgufVocabulary): GgufTokenizer {
  const { path, texts, kinds, bos, eos } = vocabulary;
  const scores = fields.numbers('tokenizer.ggml.scores');
  if (scores?.length !== texts.length)
    throw tokenizerFault(path, `there are ${texts.length} tokens but ${scores?.length ?? 'no'} scores`);
  const known = new Set(texts);
  const lacking = Array.from({ length: 256 }, (_, byte) => bytePiece(byte)).filter(
    (text) => !known.has(text),
  );
  if (lacking.length > 0)
    throw tokenizerFault(path, `${lacking.length} byte tokens are missing, such as ${lacking[0]}`);
  const addBos = vocabulary.addBos ?? true;
  const addEos = vocabulary.addEos ?? false;
  const json = buildSentencePieceJson({
    pieces: texts.map((text, id) => ({ text, score: scores[id]!, kind: pieceKind(kinds[id]!) })),
    unknownId: vocabulary.unknown?.id ?? 0,
    spacePrefix: fields.flag('tokenizer.ggml.add_space_prefix') ?? true,
    bosId: addBos ? (bos?.id ?? null) : null,
    eosId: addEos ? (eos?.id ?? null) : null,
  });
  return { vocabulary, json, addBos, addEos, warnings: [] };
}

function pieceKind(kind: GgufVocabulary['kinds'][number]): Piece['kind'] {
  if (kind === 'control' || kind === 'unknown') return 'special';
  return kind === 'undefined' ? 'unused' : kind;
}
