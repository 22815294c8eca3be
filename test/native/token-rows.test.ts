/** Packed tokens as rows: what grew token by token is, in blocks, what was packed at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenRowBytes } from '../../src/engine/graph/fused/token-rows.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { type Packed, pack, type Quantizer } from './packed-tokens.ts';
import { addon, notBuilt } from './support.ts';

const [HEADS, WIDTH] = [3, 24];
/** Parts that begin and end inside of blocks, and one that is none. */
const PARTS = [5, 1, 0, 16, 1, 12, 20, 1];
const FILL = 0x5a;

interface Case {
  readonly quantizer: Quantizer;
  readonly keys: 0 | 1;
}

const RULE = { include_zero: 1, clip_ratio: 0.9 } as const;
const CASES: readonly Case[] = ([4, 8] as const).flatMap((bits) =>
  ([0, 8] as const).flatMap((group) =>
    ([0, 1] as const).flatMap((symmetric) =>
      ([0, 1] as const).map((keys) => ({ quantizer: { ...RULE, bits, group, symmetric }, keys })),
    ),
  ),
);

const attributesOf = ({ quantizer: { bits, group, symmetric }, keys }: Case) => ({
  ...{ width: WIDTH, bits, group, keys },
  zeros: 1 - symmetric,
});

function appended(at: Case, rows: ProbeTensor, { codes, scales }: Packed, count: number): ProbeTensor {
  const [heads = 0, past = 0, bytes = 0] = rows.dims;
  const dims = [heads, past + count, bytes];
  const data = new Int8Array(heads * (past + count) * bytes).fill(FILL);
  const number = { data: BigInt64Array.of(BigInt(count)), dims: [1] };
  addon!.runOperator(
    'AppendTokens',
    'portable',
    attributesOf(at),
    [rows, codes, scales, number],
    [data],
    2,
    1,
  );
  return { data, dims };
}

/** Tokens from `first` on of x [heads, all, WIDTH]. */
function part(x: Float32Array, first: number, count: number): Float32Array {
  const all = x.length / HEADS / WIDTH;
  const taken = new Float32Array(HEADS * count * WIDTH);
  for (let head = 0; head < HEADS; head++) {
    const from = (head * all + first) * WIDTH;
    taken.set(x.subarray(from, from + count * WIDTH), head * count * WIDTH);
  }
  return taken;
}

for (const at of CASES) {
  const { quantizer, keys } = at;
  const name = `${keys ? 'keys' : 'values'}, ${JSON.stringify(quantizer)}`;
  test(`rows that grew, in blocks, are packed tokens: ${name}`, { skip: notBuilt }, () => {
    const total = PARTS.reduce((sum, count) => sum + count, 0);
    const rng = new Rng(11);
    const x = Float32Array.from({ length: HEADS * total * WIDTH }, () => rng.normal());
    const form = { ...quantizer, symmetric: quantizer.symmetric === 1 };
    // Rows of keys and values may be wider than they need.
    const bytes = tokenRowBytes(WIDTH, form) + keys;
    let rows: ProbeTensor = { data: new Int8Array(), dims: [HEADS, 0, bytes] };
    let first = 0;
    for (const count of PARTS) {
      const tokens = { x: part(x, first, count), heads: HEADS, tokens: count, width: WIDTH };
      rows = appended(at, rows, pack(tokens, quantizer, keys, 'portable'), count);
      first += count;
    }
    const whole = pack({ x, heads: HEADS, tokens: total, width: WIDTH }, quantizer, keys, 'portable');
    const codes = new Int8Array(whole.codes.data.length).fill(FILL);
    const scales = new Float32Array(whole.scales.data.length).fill(Number.NaN);
    addon!.runOperator('TokenBlocks', 'portable', attributesOf(at), [rows], [codes, scales], 2, 1);
    assert.deepEqual(codes, whole.codes.data);
    assert.deepEqual(scales, whole.scales.data);
  });
}

test('rows without room for a token, and tokens of another number, are refused', { skip: notBuilt }, () => {
  const at = CASES[0]!;
  const bytes = tokenRowBytes(WIDTH, { ...at.quantizer, symmetric: at.quantizer.symmetric === 1 });
  const short = { data: new Int8Array(HEADS * (bytes - 1)), dims: [HEADS, 1, bytes - 1] };
  const call = (name: string, inputs: ProbeTensor[]) => () =>
    addon!.runOperator(
      name,
      'portable',
      attributesOf(at),
      inputs,
      [new Int8Array(), new Float32Array()],
      1,
      1,
    );
  assert.throws(
    call('TokenBlocks', [short]),
    new RegExp(`${bytes} or more bytes\\], found \\[3, 1, ${bytes - 1}\\]`),
  );
  const none = { data: new Int8Array(), dims: [HEADS, 0, bytes] };
  const one = pack(
    { x: new Float32Array(HEADS * WIDTH), heads: HEADS, tokens: 1, width: WIDTH },
    at.quantizer,
    0,
    'portable',
  );
  const wrong = { data: BigInt64Array.of(17n), dims: [1] };
  assert.throws(
    call('AppendTokens', [none, one.codes, one.scales, wrong]),
    /17 tokens for rows .* must be codes/,
  );
});
