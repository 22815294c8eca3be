import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../../src/formats/float-bits.ts';

const ALL_BITS = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

test('known float16 values', () => {
  const cases: [bits: number, value: number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x3555, 0.333251953125],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ];
  const values = float16ToFloat32(Uint16Array.from(cases, ([bits]) => bits));
  for (const [i, [bits, value]] of cases.entries()) assert.ok(Object.is(values[i], value), bits.toString(16));
});

const FORMATS = [
  { name: 'float16', widen: float16ToFloat32, narrow: float32ToFloat16, largest: 0x7bff },
  { name: 'bfloat16', widen: bfloat16ToFloat32, narrow: float32ToBfloat16, largest: 0x7f7f },
] as const;

for (const { name, widen, narrow, largest } of FORMATS) {
  test(`${name}: every value survives the way to float32 and back`, () => {
    const values = widen(ALL_BITS);
    const back = narrow(values);
    for (let bits = 0; bits < 65536; bits++) {
      if (Number.isNaN(values[bits])) assert.ok(Number.isNaN(widen(back.subarray(bits, bits + 1))[0]));
      else assert.equal(back[bits], bits);
    }
  });

  test(`${name}: between two neighbours the nearer wins, the even one on a tie`, () => {
    const values = widen(ALL_BITS);
    for (let bits = 0; bits < largest; bits += 7) {
      const [low, high] = [values[bits]!, values[bits + 1]!];
      const middle = (low + high) / 2;
      const step = (high - low) / 64;
      const probes = Float32Array.of(middle - step, middle, middle + step, -middle);
      // Skip the few where float32 itself cannot tell the probes apart.
      if (probes[0] === probes[1] || probes[1] !== middle) continue;
      const even = bits % 2 === 0 ? bits : bits + 1;
      assert.deepEqual([...narrow(probes)], [bits, even, bits + 1, even | 0x8000], `after ${low}`);
    }
  });

  test(`${name}: beyond the largest value lies infinity`, () => {
    const [top, infinity] = widen(Uint16Array.of(largest, largest + 1));
    assert.equal(infinity, Infinity);
    assert.equal(narrow(Float32Array.of(top! * 1.0002))[0], largest);
    assert.equal(narrow(Float32Array.of(Infinity))[0], largest + 1);
  });
}

test('a NaN whose payload is in the lower half stays NaN in bfloat16', () => {
  const nan = new Float32Array(Uint32Array.of(0x7f800001).buffer);
  assert.ok(Number.isNaN(bfloat16ToFloat32(float32ToBfloat16(nan))[0]));
});
