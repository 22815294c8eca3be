import { messageOf } from '../../../protocol/errors.ts';
import { buildSplitter } from './added-tokens.ts';
import { buildBpe, type EncodeWord } from './bpe.ts';
import { type AddedToken, type TokenizerFile, unsupported } from './file.ts';
import type { Model } from './model-schema.ts';
import { buildNormalizer } from './normalizers.ts';
import { buildPreTokenizer } from './pre-tokenizers.ts';
import { buildUnigram } from './unigram.ts';
import { buildWords } from './words.ts';

/** Turns a text into ids, piece by piece. */
export type Encode = (text: string) => Generator<readonly number[]>;

/**
 * Builds what turns texts into ids: added tokens are found, what lies between is normalized, cut into words, and each
 * word is encoded. Every step is that of the tokenizers library in Rust.
 * @param path names the file in messages.
 * @param added with the ids that count.
 * @throws UserError `tokenizer/unsupported` when a part cannot be built.
 */
export function buildEncode(path: string, file: TokenizerFile, added: readonly AddedToken[]): Encode {
  const { normalize, preTokenize, encodeWord, written, normalized } = build(path, file, added);
  return function* (text) {
    for (const section of written({ text, first: true })) {
      if ('added' in section) {
        yield [section.added.id];
        continue;
      }
      const first = section.first && keepsStart(section.text, normalize);
      for (const part of normalized({ text: normalize(section.text), first }))
        if ('added' in part) yield [part.added.id];
        else for (const word of preTokenize([part])) yield encodeWord(word.text);
    }
  };
}

/** A text whose first character the normalizer drops does not begin at the start any more. */
function keepsStart(text: string, normalize: (text: string) => string): boolean {
  const [first = ''] = text;
  return first === 'x' || normalize(`${first}x`) !== normalize('x');
}

function build(path: string, file: TokenizerFile, added: readonly AddedToken[]) {
  try {
    const normalize = buildNormalizer(file.normalizer);
    return {
      normalize,
      preTokenize: buildPreTokenizer(file.preTokenizer),
      encodeWord: buildModel(file.model),
      written: buildSplitter(added.filter(({ normalized }) => !normalized)),
      normalized: buildSplitter(
        added.filter(({ normalized }) => normalized),
        normalize,
      ),
    };
  } catch (error) {
    throw unsupported(path, messageOf(error));
  }
}

function buildModel(model: Model): EncodeWord {
  switch (model.type) {
    case 'BPE':
      return buildBpe(model);
    case 'Unigram':
      return buildUnigram(model);
    case 'WordLevel':
    case 'WordPiece':
      return buildWords(model);
  }
}
