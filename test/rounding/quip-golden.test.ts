/** QuIP# rounds a matrix to the points that an independent PyTorch program gives it (scripts/goldens/make_quip.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { paddedColumns } from '../../src/engine/rounding/quip/incoherence.ts';
import type { LatticeBits } from '../../src/engine/rounding/quip/round-in-loops.ts';
import { mixInputs, roundMatrix } from '../../src/engine/rounding/quip/round-matrix.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';

interface Golden {
  readonly rows: number;
  readonly columns: number;
  readonly sweeps: number;
  readonly w: readonly number[];
  readonly moment: readonly number[];
  readonly rowSigns: readonly number[];
  readonly columnSigns: readonly number[];
  readonly cases: readonly {
    readonly bits: LatticeBits;
    readonly first: readonly number[];
    readonly second: readonly number[];
    /** Ŵ, to eight digits after the point. */
    readonly values: readonly number[];
  }[];
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'quip.json'), 'utf8'),
) as Golden;
const floats = (values: readonly number[]): Float32Array => Float32Array.from(values);

for (const kernels of KERNELS)
  for (const { bits, first, second, values } of golden.cases)
    test(`${kernels}: ${bits} bits`, async () => {
      const runtime = await createRuntime({ threads: 1, kernels });
      const cache = new ProgramCache(runtime);
      const { w, moment, rowSigns, columnSigns, sweeps, columns } = golden;
      assert.equal(paddedColumns(columns), columnSigns.length);
      const memory = { moment: floats(moment), spare: new Float32Array() };
      const inputs = await mixInputs(cache, memory, floats(columnSigns), 0.01);
      const settings = { bits, sweeps, scale: null };
      const found = await roundMatrix(cache, floats(w), inputs, floats(rowSigns), settings);
      assert.deepEqual(Array.from(found.points.first), first);
      assert.deepEqual(Array.from(found.points.second), second);
      // Each of 5 + 4 butterflies and about as many roundings of σ, of points and of the mean: 32 of the largest value.
      const largest = Math.max(...values.map(Math.abs));
      const bound = 32 * 2 ** -24 * Math.sqrt(columnSigns.length * golden.rows) * largest + 1e-8;
      for (const [at, value] of values.entries())
        assert.ok(Math.abs(found.values[at]! - value) <= bound, `${at}: ${found.values[at]}, not ${value}`);
      await cache.release();
      runtime.close();
    });
