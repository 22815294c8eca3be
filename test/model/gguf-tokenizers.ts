/** GGUF files that hold a tokenizer and nothing else. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { GgufFields } from '../../src/engine/model/gguf/fields.ts';
import type { GgufTokenizer } from '../../src/engine/model/gguf/tokenizer.ts';
import { buildGgufTokenizer } from '../../src/engine/model/gguf/tokenizer.ts';
import type { Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { readGguf } from '../../src/formats/gguf.ts';
import { temporaryFolder } from '../formats/support.ts';
import type { TypedValue } from './gguf-writer.ts';
import { ggufBytes } from './gguf-writer.ts';

export type Metadata = Readonly<Record<string, TypedValue>>;

/** Through a file, as an import does. */
export async function built(t: TestContext, metadata: Metadata, rows = 100_000): Promise<GgufTokenizer> {
  const path = join(temporaryFolder(t), 'model.gguf');
  writeFileSync(path, ggufBytes({ metadata, tensors: {} }));
  return buildGgufTokenizer(new GgufFields(await readGguf(path)), rows);
}

export async function opened(t: TestContext, metadata: Metadata): Promise<Tokenizer> {
  const { json } = await built(t, metadata);
  const dir = temporaryFolder(t);
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  return openTokenizer(dir);
}

/** GPT-2's visible form of the bytes that the texts here have. */
export function visible(text: string): string {
  return text.replaceAll(' ', 'Ġ').replaceAll('\n', 'Ċ').replaceAll('²', 'Â²').replaceAll('\r', 'č');
}

/**
 * A tokenizer in which every part of these texts is a token, and any two neighbours merge: what is cut into words
 * beforehand, and nothing else, is then cut into tokens.
 */
export function wholeWords(pre: string | undefined, texts: readonly string[]): Metadata {
  const tokens = new Set<string>();
  const merges = new Set<string>();
  for (const text of texts.map(visible))
    for (let start = 0; start < text.length; start++)
      for (let end = start + 1; end <= text.length; end++) {
        tokens.add(text.slice(start, end));
        for (let cut = start + 1; cut < end; cut++)
          merges.add(`${text.slice(start, cut)} ${text.slice(cut, end)}`);
      }
  return {
    'tokenizer.ggml.model': ['text', 'gpt2'],
    ...(pre === undefined ? {} : { 'tokenizer.ggml.pre': ['text', pre] }),
    'tokenizer.ggml.tokens': ['text', [...tokens]],
    'tokenizer.ggml.merges': ['text', [...merges]],
  };
}

export const TEXT_PIECES = [
  '▁',
  't',
  'h',
  'e',
  'th',
  '▁t',
  'he',
  'the',
  '▁the',
  '▁▁',
  'é',
  'éé',
  '\n',
  'n',
  'en',
];
export const BYTE_PIECES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
export const PIECES = ['<unk>', '<s>', '</s>', ...BYTE_PIECES, ...TEXT_PIECES];
export const SCORES = PIECES.map((_, id) => (id < 259 ? 0 : -(((id - 259) * 7) % 17)));

export function sentencePiece(extra: Metadata = {}): Metadata {
  return {
    'tokenizer.ggml.model': ['text', 'llama'],
    'tokenizer.ggml.tokens': ['text', PIECES],
    'tokenizer.ggml.scores': ['f32', SCORES],
    'tokenizer.ggml.token_type': ['i32', [2, 3, 3, ...BYTE_PIECES.map(() => 6), ...TEXT_PIECES.map(() => 1)]],
    'tokenizer.ggml.bos_token_id': ['u32', 1],
    'tokenizer.ggml.eos_token_id': ['u32', 2],
    'tokenizer.ggml.unknown_token_id': ['u32', 0],
    ...extra,
  };
}
