/**
 * Weights of rotated channels in a GGUF file. Keys `prism.hadamard.*`, which some forks of llama.cpp write, name them, and
 * the transform of what they are multiplied by: y = W · H(x · signs) / √block, in blocks of the last axis.
 */
import type { GgufFile } from '../../../formats/gguf.ts';
import { toFloat32 } from '../../../formats/tensor-io.ts';
import { UserError } from '../../../protocol/errors.ts';
import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import { GgufFields } from './fields.ts';

export const HADAMARD_TRANSFORM = 'normalized-sylvester-walsh-hadamard';
export const HADAMARD_AXIS = 'input-last-dimension';
export const hadamardKey = (name: string): string => `prism.hadamard.${name}`;

export interface RotatedWeights {
  readonly block: number;
  /** Signs by width; none where the file has none. */
  readonly signs: ReadonlyMap<number, readonly number[]>;
  /** Names of tensors in the file. */
  readonly names: ReadonlySet<string>;
}

/** @returns null for a file without such weights. @throws UserError `gguf/metadata`, `gguf/hadamard`. */
export function rotatedWeights(file: GgufFile): RotatedWeights | null {
  const fields = new GgufFields(file);
  if (![...file.metadata.keys()].some((key) => key.startsWith(hadamardKey('')))) return null;
  const refuse = (what: string): never => {
    throw new UserError(
      'gguf/hadamard',
      `${file.path} has weights of rotated channels (prism.hadamard.*) ${what}.`,
      'Use the Hugging Face folder that the file was made from.',
    );
  };
  const isKnown =
    fields.whole(hadamardKey('version')) === 1 &&
    fields.text(hadamardKey('transform')) === HADAMARD_TRANSFORM &&
    fields.text(hadamardKey('axis')) === HADAMARD_AXIS;
  if (!isKnown) refuse('of a kind that is not known');
  if ((fields.texts(hadamardKey('inverse_weight_names')) ?? []).length > 0)
    refuse('whose embeddings are rotated, too, which is not read');
  const block = fields.count(hadamardKey('block_size'));
  if ((block & (block - 1)) !== 0) refuse(`in blocks of ${block}, which is no power of two`);
  const names = new Set(fields.texts(hadamardKey('weight_names')) ?? []);
  const signs = signsOf(fields);
  for (const name of names) {
    const width = file.tensors.get(name)?.dims[1];
    if (width === undefined) return refuse(`and names ${name}, which is no matrix of it`);
    if (width % block !== 0)
      refuse(`in blocks of ${block}, which do not divide the ${width} columns of ${name}`);
    if (signs.size > 0 && !signs.has(width)) refuse(`without signs for the ${width} columns of ${name}`);
  }
  return { block, signs, names };
}

function signsOf(fields: GgufFields): Map<number, readonly number[]> {
  if (fields.text(hadamardKey('sign_mode')) === 'identity') return new Map();
  const widths = fields.numbers(hadamardKey('sign_widths')) ?? [];
  const values = fields.numbers(hadamardKey('sign_values')) ?? [];
  const total = widths.reduce((sum, width) => sum + width, 0);
  if (widths.length === 0 || total !== values.length || values.some((sign) => Math.abs(sign) !== 1))
    fields.fail(hadamardKey('sign_values'), `${total} signs, 1 or −1`);
  let first = 0;
  return new Map(
    widths.map((width) => {
      first += width;
      return [width, values.slice(first - width, first)];
    }),
  );
}

/** W [rows, columns] of rotated channels as W H diag(signs) / √block: the same function of channels that are not. */
export function unrotated(tensor: HostTensor, { block, signs }: RotatedWeights): HostTensor {
  const columns = tensor.dims.at(-1)!;
  const values = Float32Array.from(toFloat32(tensor));
  const scale = 1 / Math.sqrt(block);
  for (let first = 0; first < values.length; first += block)
    butterflies(values.subarray(first, first + block));
  const own = signs.get(columns);
  for (let i = 0; i < values.length; i++) values[i]! *= scale * (own?.[i % columns] ?? 1);
  return float32(tensor.dims, values);
}

/** z [2^m] becomes z H, with Sylvester's matrix of ±1. */
function butterflies(z: Float32Array): void {
  for (let half = 1; half < z.length; half *= 2)
    for (let start = 0; start < z.length; start += 2 * half)
      for (let i = start; i < start + half; i++) {
        const [a, b] = [z[i]!, z[i + half]!];
        z[i] = a + b;
        z[i + half] = a - b;
      }
}
