/** Calls of attention over a cache of numbers, of float32 or halves. */
import assert from 'node:assert/strict';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import type { Shape } from './packed-calls.ts';
import { random } from './support.ts';

export interface Given {
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly ProbeTensor[];
}

/**
 * The cache holds no numbers past its length, since nothing there may matter.
 * @param stored makes the numbers of a cache; @param nan what is no number there.
 */
export function givenCache<Numbers extends Float32Array | Uint16Array>(
  { groups, repeats, rows, capacity, length, width, window }: Shape,
  stored: (numbers: Float32Array) => Numbers,
  nan: number,
): Given {
  const tensor = (count: number, seed: number) => ({
    data: random(groups * count * width, seed),
    dims: [groups, count, width],
  });
  const past = (seed: number): ProbeTensor => {
    const { data, dims } = tensor(capacity, seed);
    const numbers = stored(data);
    for (let group = 0; group < groups; group++)
      numbers.fill(nan, (group * capacity + length) * width, (group + 1) * capacity * width);
    return { data: numbers, dims };
  };
  const count: ProbeTensor = { data: BigInt64Array.of(BigInt(length)), dims: [1] };
  return {
    attributes: { scale: 1 / Math.sqrt(width), rows, window },
    inputs: [tensor(repeats * rows, 1), tensor(rows, 2), tensor(rows, 3), past(4), past(5), count],
  };
}

const SIZES = { groups: 2, repeats: 2, rows: 1, capacity: 9 } as const;
export const SMALL_CACHE: Shape = { ...SIZES, length: 4, width: 8, window: 0 };

/** @param g of {@link SMALL_CACHE}. */
export function assertRefused(g: Given, run: (g: Given, isa: string) => unknown): void {
  const withLength = (length: number, dims = [1]): Given => ({
    ...g,
    inputs: [...g.inputs.slice(0, 5), { data: BigInt64Array.of(BigInt(length)), dims }],
  });
  assert.throws(() => run(withLength(10), 'portable'), /length must be from 0 to the capacity 9, found 10/);
  assert.throws(() => run(withLength(-1), 'portable'), /found -1/);
  assert.throws(() => run(withLength(4, []), 'portable'), /length must be \[1\], found \[\]/);
  const otherRows = { ...g, attributes: { ...g.attributes, rows: 2 } };
  assert.throws(() => run(otherRows, 'portable'), /K and V \[\.\.\., 2, h\].*found \[2, 2, 8\], \[2, 1, 8\]/);
}
