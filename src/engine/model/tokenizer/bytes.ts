/** GPT-2's visible characters for the 256 bytes: printable Latin-1 stands for itself, the rest follow from U+0100. */
const CHARACTERS = (() => {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

const encoder = new TextEncoder();

/** Writes every byte of the text's UTF-8 as one visible character. */
export function visibleBytes(text: string): string {
  let visible = '';
  for (const byte of encoder.encode(text)) visible += CHARACTERS[byte]!;
  return visible;
}

/** Names the pieces that stand for the bytes of a text: `<0xE3>` … */
export function bytePieces(text: string): string[] {
  return Array.from(encoder.encode(text), bytePiece);
}

/** Text of the piece of a byte. */
export function bytePiece(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}
