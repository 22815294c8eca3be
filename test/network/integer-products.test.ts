/**
 * The network on products of whole numbers against the same network on float32 products of rounded factors, on every
 * architecture.
 *
 * Both multiply the same codes; they differ in what float32 rounds. A float32 sum of n products has an error of about
 * ε·√n of its size; of whole numbers, only the product with each scale and the sum over groups are rounded. Each of the
 * ~12 operations of a layer adds such an error, and they add up along the residual: numbers differ by no more than
 * τ = 4 · 12 · layers · √n · ε of the largest (as for comparePreservation), where n is the longest sum.
 *
 * A quantizer is not continuous: a number within τ of the border of two codes may go to either. From there on both are
 * roundings of one network, none better than the other. So a text has a clean part, before the first token of which a
 * code differs (attention is causal). There all numbers that quantizers read, and the logits, differ by τ at most. So a
 * first code that differs belongs to a number within τ of a border. Behind it, rounding of activations moves either
 * network by as much, in directions of its own: √2 times that lies between them.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { Network } from '../../src/engine/network/network.ts';
import type { IntegerProducts } from '../../src/engine/network/weight-form.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { deployedGolden, labelOf, type Setting } from '../helpers/deployed-golden.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { type Watched, watch } from '../helpers/site-numbers.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';

const BITS = [
  { activations: 8, cache: 16 },
  { activations: 8, cache: 8 },
  { activations: 4, cache: 16 },
  { activations: 4, cache: 4 },
] as const;
const SETTINGS: readonly Setting[] = BITS.flatMap((bits) =>
  [true, false].map((online) => ({ ...bits, online })),
);

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ threads: 1 });
});
after(() => runtime.close());

function tolerance({ layers, hiddenSize, intermediateSize, heads, headDim }: ModelConfig): number {
  const longest = Math.max(hiddenSize, intermediateSize, heads * headDim);
  return 4 * 12 * layers * Math.sqrt(longest) * 2 ** -23;
}

const largest = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Of the first `tokens` rows: the largest difference as a share of the largest number. */
function difference(a: Float32Array, b: Float32Array, width: number, tokens: number): number {
  const [x, y] = [a, b].map((values) => values.subarray(0, tokens * width)) as [Float32Array, Float32Array];
  return largest(x.map((value, i) => value - y[i]!)) / largest(y);
}

/** The first token of which a code differs; `tokens` where there is none. Scales differ by rounding, codes by a step. */
function firstFlip({ after: a }: Numbers, { after: b, bits, group, before: raw }: Numbers, tokens: number) {
  const width = b.length / tokens;
  for (let start = 0; start < b.length; start += group) {
    const values = raw.subarray(start, start + group);
    const span = Math.max(...values) - Math.min(...values);
    const step = span / (2 ** bits - 1);
    for (let i = start; i < start + group; i++)
      if (Math.abs(a[i]! - b[i]!) > step / 2) return Math.floor(start / width);
  }
  return tokens;
}
type Numbers = Watched['sites'][number];

/** Tokens of the text before any code differs. @throws where numbers there differ by more than rounding. */
function cleanTokens(found: Watched, expected: Watched, tokens: number, bound: number, what: string): number {
  let clean = tokens;
  for (const [index, numbers] of found.sites.entries()) {
    const other = expected.sites[index]!;
    const width = other.before.length / tokens;
    const apart = difference(numbers.before, other.before, width, clean);
    assert.ok(
      clean === 0 || apart <= bound,
      `${what}, layer ${other.layer}, ${other.site}: ${apart} > ${bound}`,
    );
    clean = Math.min(clean, firstFlip(numbers, other, tokens));
  }
  return clean;
}

function rms(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length);
}

/** A network of this setting with its weights rounded by GPTQ. */
async function byGptq(cache: ProgramCache, checkpoint: Checkpoint, online: boolean, folder: string) {
  const network = deployedGolden(cache, checkpoint, { activations: 16, cache: 16, online });
  const layers = new RoundedLayers(folder, 'key');
  const blocks = differentWindows(checkpoint.config, 4, 24);
  for await (const _ of roundWeights(cache, { network, blocks, layers, options: PLAIN_GPTQ }));
  return layers;
}

interface Case {
  readonly ids: Int32Array;
  readonly what: string;
  /** The two networks, and one with exact activations. */
  readonly integer: Network;
  readonly simulated: Network;
  readonly exact: Network;
}

/** @returns the share of tokens that are clean. */
async function compare(cache: ProgramCache, { ids, what, integer, simulated, exact }: Case): Promise<number> {
  const { config } = integer.checkpoint;
  const bound = tolerance(config);
  const [found, expected] = [await watch(cache, integer, ids), await watch(cache, simulated, ids)];
  const clean = cleanTokens(found, expected, ids.length, bound, what);
  const width = config.vocabSize;
  if (clean > 0) {
    const apart = difference(found.logits, expected.logits, width, clean);
    assert.ok(apart <= bound, `${what}, logits: ${apart} > ${bound}`);
  }
  if (clean < ids.length) {
    const behind = ({ logits }: Watched) => logits.subarray(clean * width);
    const moved = rms(behind(expected), behind(await watch(cache, exact, ids)));
    const apart = rms(behind(found), behind(expected));
    assert.ok(apart <= Math.SQRT2 * moved, `${what}, behind token ${clean}: ${apart} > √2 · ${moved}`);
  }
  return clean / ids.length;
}

function networksOf(
  cache: ProgramCache,
  checkpoint: Checkpoint,
  setting: Setting,
  rounded?: RoundedLayers,
): Pick<Case, 'integer' | 'simulated' | 'exact'> {
  const make = (changed: Partial<Setting>, integer: IntegerProducts): Network =>
    deployedGolden(cache, checkpoint, { ...setting, ...changed }, { rounded, integer });
  const exact = make({ activations: 16, cache: 16 }, 'never');
  return { integer: make({}, 'always'), simulated: make({}, 'never'), exact };
}

for (const name of GOLDEN_NAMES)
  test(`${name}: products of whole numbers are those of rounded factors`, { skip }, async (t) => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const cache = new ProgramCache(runtime);
    const ids = Int32Array.from(readGolden(name).ids);
    const folder = await mkdtemp(join(tmpdir(), 'integer-test-'));
    t.after(() => rm(folder, { recursive: true }));
    const shares: number[] = [];
    for (const online of [true, false]) {
      const gptq = await byGptq(cache, checkpoint, online, join(folder, String(online)));
      // Half of the settings with GPTQ's codes: with R4 the first and the last, without it the others.
      for (const rounded of [undefined, gptq])
        for (const setting of SETTINGS.filter((one, index) => {
          const isOuter = [0, 1, 6, 7].includes(index);
          return one.online === online && (!rounded || isOuter === online);
        })) {
          const networks = networksOf(cache, checkpoint, setting, rounded);
          assert.ok(networks.integer.products!.integer.length === LINEARS.length);
          const what = `${labelOf(setting)} ${rounded ? 'GPTQ' : 'RTN'}`;
          shares.push(await compare(cache, { ids, what, ...networks }));
        }
    }
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    assert.ok(mean > 0.5, 'the bound for clean tokens is one for most');
    t.diagnostic(`${(100 * mean).toFixed(0)} % of all tokens are clean: ${shares.map((s) => s.toFixed(2))}`);
    await cache.release();
  });

/** Weights in groups of 16 columns with zero points, 2 to 4 bits, and activations in groups of 8 and of 32 or all. */
const GROUPED: readonly Setting[] = [
  { activations: 8, activationGroup: 8, weights: { groupSize: 16, symmetric: false } },
  { activations: 4, activationGroup: 16, weights: { groupSize: 8, symmetric: true, bits: 3, clip: true } },
  { activations: 4, weights: { groupSize: 16, symmetric: false, bits: 2 } },
].map((setting) => ({ cache: 8, online: true, ...setting }) as Setting);

test('groups of columns and of channels, zero points, and fewer bits', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(runtime);
  const ids = Int32Array.from(readGolden('llama').ids);
  for (const setting of GROUPED) {
    const networks = networksOf(cache, checkpoint, setting);
    assert.ok(networks.integer.products!.integer.length === LINEARS.length);
    await compare(cache, { ids, what: JSON.stringify(setting), ...networks });
  }
  await cache.release();
});

test('behind products of Kronecker', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(runtime);
  const ids = Int32Array.from(readGolden('llama').ids);
  for (const bits of BITS) {
    const setting: Setting = { ...bits, online: true, kronecker: true };
    const networks = networksOf(cache, checkpoint, setting);
    assert.ok(networks.integer.products!.integer.length === LINEARS.length);
    await compare(cache, { ids, what: labelOf(setting), ...networks });
  }
  await cache.release();
});
