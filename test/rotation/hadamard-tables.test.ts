import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CIRCULANT_ROWS } from '../../src/engine/rotation/circulant-rows.ts';
import { finiteField, primePower } from '../../src/engine/rotation/finite-field.ts';
import { hadamardTable, MAX_TABLE_ORDER } from '../../src/engine/rotation/hadamard-tables.ts';
import { paleyOne, paleyTwo } from '../../src/engine/rotation/paley.ts';

/** Entries ±1 and HHᵀ = K·I, in integers. Rows are packed 32 signs to a word. */
function isHadamard(matrix: Int8Array, order: number): boolean {
  if (matrix.length !== order * order) return false;
  const words = Math.ceil(order / 32);
  const packed = new Int32Array(order * words);
  for (let i = 0; i < order * order; i++) {
    const value = matrix[i];
    if (value !== 1 && value !== -1) return false;
    const column = i % order;
    if (value < 0) packed[((i - column) / order) * words + (column >> 5)]! |= 1 << (column & 31);
  }
  for (let i = 0; i < order; i++) {
    for (let j = 0; j < i; j++) {
      let differences = 0;
      for (let w = 0; w < words; w++) differences += ones(packed[i * words + w]! ^ packed[j * words + w]!);
      if (2 * differences !== order) return false;
    }
  }
  return true;
}

function ones(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

describe('finite fields', () => {
  for (const q of [3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343, 729, 961, 1009]) {
    it(`GF(${q}): the character is balanced and its autocorrelation is −1`, () => {
      const { character, subtract } = finiteField(q);
      assert.equal(
        character.reduce((sum, value) => sum + value, 0),
        0,
      );
      assert.equal(character[0], 0);
      for (const shift of [1, 2, q - 1]) {
        let correlation = 0;
        for (let a = 0; a < q; a++) correlation += character[a]! * character[subtract(a, shift)]!;
        assert.equal(correlation, -1, `shift ${shift}`);
      }
    });
  }

  it('tells prime powers from other numbers', () => {
    const found = [1, 2, 6, 8, 15, 27, 35, 49, 77, 923].map((q) => primePower(q)?.prime ?? null);
    assert.deepEqual(found, [null, 2, null, 2, null, 3, null, 7, null, null]);
    assert.throws(() => finiteField(15), RangeError);
    assert.throws(() => finiteField(8), RangeError);
  });
});

describe('generated Hadamard matrices', () => {
  it('satisfy HHᵀ = K·I for every order that is produced', () => {
    const served: number[] = [];
    for (let order = 1; order <= MAX_TABLE_ORDER; order++) {
      const table = hadamardTable(order);
      if (table === null) continue;
      served.push(order);
      assert.ok(isHadamard(table.matrix, order), `order ${order}: ${table.construction}`);
    }
    const missing: number[] = [];
    for (let order = 4; order <= 260; order += 4) if (!served.includes(order)) missing.push(order);
    assert.deepEqual(missing, []);
    assert.equal(served.filter((order) => order > 2 && order % 4 !== 0).length, 0);
  });

  for (const [order, kind] of [
    [12, 'paley-1'],
    [28, 'paley-1'],
    [36, 'paley-2'],
    [52, 'paley-2'],
    [92, 'williamson'],
    [100, 'paley-2'],
    [116, 'williamson'],
    [172, 'goethals-seidel'],
    [184, 'kronecker'],
    [188, 'goethals-seidel'],
    [924, 'paley-2'],
  ] as const) {
    it(`order ${order} comes from ${kind}`, () => assert.equal(hadamardTable(order)?.kind, kind));
  }

  it('Paley I gives skew type, Paley II symmetric matrices', () => {
    const skew = paleyOne(28)!;
    const symmetric = paleyTwo(52)!;
    for (let i = 0; i < 28; i++) {
      for (let j = 0; j < i; j++) assert.equal(skew[i * 28 + j], -skew[j * 28 + i]!);
    }
    for (let i = 0; i < 52; i++) {
      for (let j = 0; j < i; j++) assert.equal(symmetric[i * 52 + j], symmetric[j * 52 + i]);
    }
    assert.equal(paleyOne(16), null, 'GF(15) does not exist');
    assert.equal(paleyTwo(92), null, 'GF(45) does not exist');
  });

  for (const [t, rows] of Object.entries(CIRCULANT_ROWS)) {
    it(`circulants of order ${t}: periodic autocorrelations sum to zero`, () => {
      const order = Number(t);
      const signs = rows.map((row) => Array.from(row, (c) => (c === '+' ? 1 : -1)));
      assert.deepEqual(
        signs.map((row) => row.length),
        [order, order, order, order],
      );
      for (let shift = 1; shift < order; shift++) {
        let sum = 0;
        for (const row of signs)
          row.forEach((value, i) => {
            sum += value * row[(i + shift) % order]!;
          });
        assert.equal(sum, 0, `shift ${shift}`);
      }
    });
  }
});
