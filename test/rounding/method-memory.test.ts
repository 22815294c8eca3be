/** What the memory plan counts for methods is what they hold. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { methodNamed } from '../../src/config/index.ts';
import type { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache, type ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { roundingBytes } from '../../src/engine/network/memory-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { RoundingKernels } from '../../src/engine/rounding/gptq/rounding-kernels.ts';
import { roundGroups } from '../../src/engine/rounding/gptq/updated-groups.ts';
import { drawSigns } from '../../src/engine/rounding/quip/incoherence.ts';
import { mixInputs, roundMatrix } from '../../src/engine/rounding/quip/round-matrix.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of arrays. What the test before held is let go, and freed beside JavaScript. */
async function heldNow(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) {
    collectGarbage();
    await setTimeout(20);
  }
  return process.memoryUsage().arrayBuffers;
}

/** Looks at the arrays that are alive whenever a program is asked for. */
class WatchedCache extends ProgramCache {
  most = 0;

  override async get<Spec, Out extends object>(
    kind: ProgramKind<Spec, Out>,
    spec: Spec,
  ): Promise<Program<Out>> {
    this.most = Math.max(this.most, await this.#aliveNow());
    return await super.get(kind, spec);
  }

  /** A new record counts only when it stays: another thread frees what was collected. */
  async #aliveNow(): Promise<number> {
    let least = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 20 && least > this.most; turn++) {
      if (turn > 0) await setTimeout(10);
      collectGarbage();
      least = Math.min(least, process.memoryUsage().arrayBuffers);
    }
    return least;
  }
}

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new WatchedCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

test('the plan counts the arrays that QuIP# holds at once', async () => {
  const n = 1024;
  const copy = n * n * Float32Array.BYTES_PER_ELEMENT;
  const before = await heldNow();
  const random = new Rng(0);
  const moment = new Float32Array(n * n);
  for (let i = 0; i < n; i++) moment[i * n + i] = 1;
  const weights = Float32Array.from({ length: n * n }, () => random.normal());
  const signs = drawSigns(n, random);
  const inputs = await mixInputs(cache, { moment, spare: new Float32Array(n * n) }, signs, 0.01);
  const settings = { bits: 2, sweeps: 0, scale: null } as const;
  const { values } = await roundMatrix(cache, weights, inputs, signs, settings);
  assert.equal(values.length, n * n);
  const held = cache.most - before;
  // A layer whose widest input and largest weight are [n, n].
  const config = { ...TINY_CONFIG, hiddenSize: n, intermediateSize: n, heads: 1, headDim: n };
  const planned = roundingBytes(config, methodNamed('quip').copies?.({}));
  assert.ok(held <= planned, `${held / copy} matrices are alive, ${planned / copy} planned`);
  // The plan of other methods would not do; it is not twice what is needed either.
  assert.ok(planned - roundingBytes(config) >= 3 * copy);
  assert.ok(planned < 2.5 * held, `${held / copy} matrices are alive, ${planned / copy} planned`);
});

test('the plan counts what groups feed to later ones with updated scales', async () => {
  const [n, group] = [1024, 256];
  const copy = n * n * Float32Array.BYTES_PER_ELEMENT;
  cache.most = 0;
  const before = await heldNow();
  const random = new Rng(1);
  const t = new Float32Array(n * n);
  for (let i = 0; i < n; i++) t[i * n + i] = 1;
  const w = float32(
    [n, n],
    Float32Array.from({ length: n * n }, () => random.normal()),
  );
  const quantizer = { bits: 4, symmetric: true, group, clipSearch: false };
  const { codes } = await roundGroups(cache, new RoundingKernels(cache), { w, t, quantizer });
  assert.equal(codes.length, n * n);
  // Beside the weight and the factor, which every method holds.
  const held = cache.most - before - 2 * copy;
  const { copies } = methodNamed('gptq');
  assert.deepEqual(copies?.({ groupScales: 'static' }), { moments: 0, weights: 0 });
  const planned = copies?.({ groupScales: 'updated' }).weights ?? 0;
  assert.ok(held > copy && held <= planned * copy, `${held / copy} matrices are alive, ${planned} planned`);
});
