import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { messageOf } from '../../../protocol/errors.ts';
import { type TokenizerFile, unsupported } from './file.ts';
import type { NumberedTokens } from './vocabulary.ts';

/**
 * Builds what turns ids into text, without special tokens.
 * @throws UserError `tokenizer/unsupported` when a pattern of the decoder cannot be translated.
 */
export function buildDecode(
  path: string,
  file: TokenizerFile,
  { added, textOf }: NumberedTokens,
): (ids: ArrayLike<number>) => string {
  const decoder = buildDecoder(path, file.decoder, added);
  const special = new Set(added.filter((token) => token.special).map(({ content }) => content));
  return (ids) => {
    const texts = Array.from(ids, (id) => textOf(id) ?? '').filter((text) => !special.has(text));
    return decoder === null ? texts.join(' ') : decoder.decode(texts);
  };
}

function buildDecoder(path: string, decoder: TokenizerFile['decoder'], added: NumberedTokens['added']) {
  try {
    // The library makes decoders of plain data only as part of a tokenizer.
    const empty = { normalizer: null, pre_tokenizer: null, post_processor: null, added_tokens: [] };
    const model = { type: 'BPE', vocab: {}, merges: [] };
    const built = new HuggingFaceTokenizer({ ...empty, model, decoder }, {}).decoder;
    if (built) built.added_tokens = [...added];
    return built;
  } catch (error) {
    throw unsupported(path, `decoder: ${messageOf(error)}`);
  }
}
