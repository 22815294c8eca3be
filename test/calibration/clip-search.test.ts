/** Clip ratios of sites: the errors that a search compares are those of loops, and it takes the least of them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CLIP_ERRORS, errorName } from '../../src/engine/calibration/clips/errors.ts';
import { CLIP_RATIOS, searchClips } from '../../src/engine/calibration/clips/search.ts';
import type { ActivationQuantizer } from '../../src/engine/graph/fused/fake-quantize.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION, type LayerQuantizers, quantizerAt } from '../../src/engine/network/layer-shape.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { ROUNDED_SITES, type RoundedSite } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import type { LayerClips } from '../../src/runs/index.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import {
  type LoopLayer,
  layerInLoops,
  type Matrix,
  timesMatrix,
  transposed,
} from '../helpers/layer-in-loops.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

let runtimes: readonly Runtime[];
before(async () => {
  runtimes = await Promise.all(KERNELS.map((kernels) => createRuntime({ kernels, threads: 1 })));
});
after(() => {
  for (const runtime of runtimes) runtime.close();
});

const rowsOf = (data: ArrayLike<number>, width: number): number[][] =>
  Array.from({ length: data.length / width }, (_, row) =>
    Array.from({ length: width }, (__, i) => data[row * width + i]!),
  );

const TOKEN: ActivationQuantizer = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

/** 4 bits at every site, 3 symmetric ones at the input of down. */
const quantizersFor = (headDim: number): LayerQuantizers => ({
  ...FULL_PRECISION,
  ...{ input: TOKEN, outputInput: { ...TOKEN, group: headDim, includeZero: false } },
  downInput: { ...TOKEN, bits: 3, symmetric: true },
  keys: { ...TOKEN, group: headDim },
  values: { ...TOKEN, group: headDim, includeZero: false },
  keyOffset: 'bias',
});

/** Rounds a row to the grid of its own range, clipped. */
function rounded(row: readonly number[], quantizer: ActivationQuantizer, ratio: number): number[] {
  const { bits, symmetric, includeZero } = quantizer;
  if (symmetric) {
    const top = 2 ** (bits - 1) - 1;
    const scale = (ratio * Math.max(...row.map(Math.abs))) / top;
    return row.map((x) => scale * Math.max(-top - 1, Math.min(top, Math.round(x / scale))));
  }
  const ends = includeZero ? [...row, 0] : row;
  const [lo, hi] = [ratio * Math.min(...ends), ratio * Math.max(...ends)];
  const [scale, top] = [(hi - lo) / (2 ** bits - 1), 2 ** bits - 1];
  const zero = Math.round(-lo / scale);
  return row.map((x) => scale * (Math.max(0, Math.min(top, Math.round(x / scale) + zero)) - zero));
}

const sylvester = (n: number): number[][] =>
  Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (__, j) => {
      let bits = i & j;
      let sign = 1;
      for (; bits > 0; bits &= bits - 1) sign = -sign;
      return sign / Math.sqrt(n);
    }),
  );

function loopLayer(checkpoint: Checkpoint, index: number): LoopLayer {
  const layer: Readonly<Record<string, unknown>> = { ...checkpoint.layer(index) };
  return (name) => {
    const tensor = layer[name] as Parameters<typeof toFloat32>[0] | null | undefined;
    if (!tensor) return { matrix: [], row: [] };
    const data = toFloat32(tensor);
    return { matrix: rowsOf(data, tensor.dims.at(-1)!), row: [...data] };
  };
}

type Errors = Readonly<Record<RoundedSite, readonly number[]>>;

/** Errors by site and ratio, in loops, of sequences before a layer; and the sequences behind it. */
function errorsInLoops(
  sequences: readonly Matrix[],
  checkpoint: Checkpoint,
  index: number,
  maps: Readonly<Partial<Record<RoundedSite, Matrix>>>,
): { readonly errors: Errors; readonly after: Matrix[] } {
  const { config } = checkpoint;
  const layer = loopLayer(checkpoint, index);
  const exact = sequences.map((x) => layerInLoops(x, layer, config, null));
  const error = (site: RoundedSite, ratio: number): number => {
    const quantizer = quantizerAt(site, quantizersFor(config.headDim))!;
    const map = maps[site];
    const change = (row: readonly number[]): readonly number[] =>
      map
        ? timesMatrix(rounded(timesMatrix(row, map), quantizer, ratio), transposed(map))
        : rounded(row, quantizer, ratio);
    const terms = sequences.flatMap((x, s) => {
      const moved = layerInLoops(x, layer, config, { site, change }).outputs(site);
      const whole = exact[s]!.outputs(site);
      return moved.flatMap((row, t) => row.map((y, i) => (y - whole[t]![i]!) ** 2));
    });
    return terms.reduce((sum, term) => sum + term, 0);
  };
  const errors = recordOf(ROUNDED_SITES, (site) => CLIP_RATIOS.map((ratio) => error(site, ratio)));
  return { errors, after: exact.map(({ y }) => [...y]) };
}

/** Rounding errors are about a tenth of what they are differences of, which have those of sums of 48 in float32. */
const TOLERANCE = 2 * 10 * 8 * 2 ** -23;

function assertNear(value: number, expected: number, what: string): void {
  assert.ok(Math.abs(value - expected) <= TOLERANCE * expected, `${what}: ${value} for ${expected}`);
}

for (const name of ['llama', 'qwen2'] as const)
  test(`${name}: errors by ratio are those of loops, and the least one is found`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const { headDim, hiddenSize, layers } = checkpoint.config;
    const blocks = differentWindows(checkpoint.config, 3, 5);
    const quantizers = quantizersFor(headDim);
    const embedding = rowsOf(toFloat32(checkpoint.embedding), hiddenSize);
    const expected: { readonly x: readonly number[]; readonly errors: Errors }[] = [];
    for (const runtime of runtimes) {
      const cache = new ProgramCache(runtime);
      const options = { mode: 'merged', quantizers: FULL_PRECISION, mixesProducts: false } as const;
      const { network, rotations } = rotatedNetwork(cache, checkpoint, options);
      const r1 = rowsOf(rotations.r1!, hiddenSize);
      let sequences: Matrix[] = blocks.map((ids) => [...ids].map((id) => embedding[id]!));
      for (let layer = expected.length; layer < layers; layer++) {
        const r2 = rowsOf(rotations.r2![layer]!, headDim);
        const inputs = { 'attention-input': r1, 'mlp-input': r1, 'o-input': r2 };
        const maps = { ...inputs, value: r2, key: sylvester(headDim) };
        const x = sequences.flat().flatMap((row) => timesMatrix(row, r1));
        const { errors, after: next } = errorsInLoops(sequences, checkpoint, layer, maps);
        expected.push({ x, errors });
        sequences = next;
      }
      const found: LayerClips[] = [];
      const sites = ROUNDED_SITES;
      const searched = Array.from({ length: layers }, () => ({ quantizers, sites, known: null }));
      for await (const clips of searchClips({ cache, network, layers: searched }, blocks)) found.push(clips);
      assert.equal(found.length, layers);
      for (const [layer, { x, errors }] of expected.entries()) {
        const batch = { batch: 3, sequence: 5 };
        const { shape, types, tensors } = network.layerContext(layer, batch);
        const spec = { shape: { ...shape, quantizers }, types, sites, ratios: CLIP_RATIOS };
        const program = await cache.get(CLIP_ERRORS, spec);
        const out = await program.run({
          ...{ ...tensors, ...(await network.layerInputs(layer, batch)) },
          x: float32([15, hiddenSize], Float32Array.from(x)),
        });
        for (const site of sites) {
          const where = `${site} of layer ${layer}`;
          for (const [index, error] of errors[site].entries())
            assertNear(out[errorName(site)]!.data[index]!, error, `${where} at ${CLIP_RATIOS[index]}`);
          const clip = found[layer]![site]!;
          const [least, whole] = [Math.min(...errors[site]), errors[site][0]!];
          assertNear(errors[site][CLIP_RATIOS.indexOf(clip.ratio)]!, least, where);
          assertNear(clip.share!, least / whole, where);
        }
      }
      await cache.release();
    }
    // Otherwise a search that finds nothing would do.
    const best = expected.flatMap(({ errors }) =>
      ROUNDED_SITES.map((site) => Math.min(...errors[site]) / errors[site][0]!),
    );
    assert.ok(Math.min(...best) < 0.9);
  });

test('a search that goes on from known layers finds what one from the first does', async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { headDim } = checkpoint.config;
  const blocks = differentWindows(checkpoint.config, 2, 5);
  const quantizers = quantizersFor(headDim);
  const cache = new ProgramCache(runtimes[0]!);
  const options = { mode: 'merged', quantizers: FULL_PRECISION } as const;
  const { network } = rotatedNetwork(cache, checkpoint, options);
  const search = async (sites: readonly RoundedSite[], known: readonly LayerClips[]) => {
    const layers = [0, 1].map((layer) => ({ quantizers, sites, known: known[layer] ?? null }));
    const found: LayerClips[] = [];
    for await (const clips of searchClips({ cache, network, layers }, blocks)) found.push(clips);
    return found;
  };
  const all = await search(ROUNDED_SITES, []);
  assert.deepEqual(await search(ROUNDED_SITES, all.slice(0, 1)), all);
  const [keys] = await search(['key'], []);
  assert.deepEqual(keys, { key: all[0]!.key });
  await cache.release();
});
