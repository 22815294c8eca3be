import type { Llama2cPiece } from '../../src/formats/llama2c-tokenizer.ts';

/**
 * Encodes as llama2.c documents: a space in front, characters or else their bytes, then as long as any adjacent pair
 * joins to a piece, merge the one of the best score, the leftmost first. Quadratic; written apart from the product.
 */
export function encodeLikeLlama2c(pieces: readonly Llama2cPiece[], text: string): number[] {
  const ids = new Map(pieces.map(({ bytes }, id) => [Buffer.from(bytes).toString('latin1'), id]));
  const latin1 = (id: number): string => Buffer.from(pieces[id]!.bytes).toString('latin1');
  const tokens = text === '' ? [] : [ids.get(' ')!];
  for (const character of text) {
    const utf8 = Buffer.from(character);
    const id = ids.get(utf8.toString('latin1'));
    tokens.push(...(id === undefined ? [...utf8].map((byte) => byte + 3) : [id]));
  }
  for (;;) {
    let best = { score: -Infinity, at: -1, id: -1 };
    for (let at = 0; at + 1 < tokens.length; at++) {
      const id = ids.get(latin1(tokens[at]!) + latin1(tokens[at + 1]!));
      if (id !== undefined && pieces[id]!.score > best.score) best = { score: pieces[id]!.score, at, id };
    }
    if (best.at < 0) return tokens;
    tokens.splice(best.at, 2, best.id);
  }
}
