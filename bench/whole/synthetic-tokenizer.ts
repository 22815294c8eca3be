/** Writes a byte-level BPE tokenizer of a wanted size, so that a network with random weights can be opened as a model is. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Letters that words are made of; the first stands for a space. */
const LETTERS = [...'Ġabcdefghijklmnopqrstuvwxyz'];

/** The 256 characters that stand for bytes: printable ones for themselves, the others from U+0100 on. */
function byteCharacters(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : 256 + others++),
  );
}

/** Writes `tokenizer.json` with so many tokens: those of bytes, then all strings of two letters, of three, and so on. */
export function writeSyntheticTokenizer(folder: string, vocabulary: number): void {
  const vocab = new Map(byteCharacters().map((character, id) => [character, id]));
  const merges: string[] = [];
  let last = LETTERS;
  while (vocab.size < vocabulary) {
    const longer: string[] = [];
    for (const beginning of last)
      for (const letter of LETTERS) {
        if (vocab.size >= vocabulary) break;
        longer.push(beginning + letter);
        vocab.set(beginning + letter, vocab.size);
        merges.push(`${beginning} ${letter}`);
      }
    last = longer;
  }
  const bytes = { add_prefix_space: false, trim_offsets: true, use_regex: true };
  const model = { type: 'BPE', vocab: Object.fromEntries(vocab), merges };
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', ...bytes },
    post_processor: null,
    decoder: { type: 'ByteLevel', ...bytes },
    model,
  };
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
}
