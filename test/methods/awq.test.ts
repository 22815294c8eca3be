/** AWQ: scales, bounds and codes against PyTorch in float64, and what they do to a network and to a whole job. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { WeightQuantizer } from '../../src/engine/graph/fused/weight-quantize.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/awq.ts';
import { method as clipping } from '../../src/engine/methods/awq-clip.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import type { GridMatrix, RoundedLayer } from '../../src/engine/network/rounded-weights.ts';
import {
  NO_MAPS,
  type SeamMaps,
  type SeamState,
  spinQuantMaps,
  spinQuantState,
} from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { LINEARS, type Linear, type SeamName } from '../../src/protocol/block.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { recordOf } from '../../src/protocol/records.ts';
import type { Tensor } from '../../src/protocol/tensor.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { scalesBy } from '../helpers/scaling.ts';
import { UNREAD } from '../helpers/unread-networks.ts';
import { type GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

/** What `bench/peers/awq_torch.py` prints for the golden LLaMA. */
interface Golden {
  readonly settings: Readonly<
    Record<string, { readonly bits: number; readonly symmetric: boolean; readonly group: number }>
  >;
  readonly layers: Readonly<Record<string, readonly GoldenLayer[]>>;
}

interface GoldenLayer {
  readonly scales: Readonly<Record<Seam, readonly number[]>>;
  readonly errors: Readonly<Record<Seam, readonly number[]>>;
  /** A digit for each row and group; a dot where two choices are as good. */
  readonly trials: Readonly<Partial<Record<Linear, string>>>;
  /** A hexadecimal digit for each code from −8. */
  readonly codes: Readonly<Partial<Record<Linear, string>>>;
  readonly tie: number;
  readonly margin: number;
}

const SEAMS = ['attention-norm', 'value', 'mlp-norm', 'up-down'] as const satisfies readonly SeamName[];
type Seam = (typeof SEAMS)[number];

const GOLDEN = JSON.parse(
  await readFile(join(import.meta.dirname, '..', 'fixtures', 'awq-llama.json'), 'utf8'),
) as Golden;

/**
 * Float32 against float64: a row comes out of at most twelve products, one behind the other. Their sums have at most 48
 * terms, each of which rounds by 2⁻²⁴ of what is summed.
 */
const PRECISION = 12 * 48 * 2 ** -24;

interface Bench {
  readonly cache: ProgramCache;
  readonly checkpoint: Checkpoint;
}

async function withModel(name: string, kernels: 'native' | 'composed', use: (bench: Bench) => Promise<void>) {
  const runtime = await createRuntime({ kernels, threads: 1 });
  const cache = new ProgramCache(runtime);
  await use({ cache, checkpoint: await openCheckpoint(goldenFolder(name)) });
  await cache.release();
  runtime.close();
}

interface NetworkSetting {
  readonly maps?: SeamMaps;
  readonly state?: SeamState;
  readonly weights?: WeightQuantizer;
  readonly memory?: Partial<NetworkMemory>;
}

function networkOf({ cache, checkpoint }: Bench, { maps, state, weights, memory }: NetworkSetting): Network {
  const network = new Network(cache, checkpoint, {
    mode: maps ? 'merged' : 'plain',
    maps: maps ?? NO_MAPS,
    quantizers: { ...FULL_PRECISION, ...(weights && { weights }) },
    centreEmbedding: false,
    memory: { ...DEFAULT_MEMORY, ...memory },
  });
  network.setMaps(state ?? {});
  return network;
}

interface Asked {
  readonly quantizer?: WeightQuantizer;
  readonly groupedValues?: boolean;
  readonly maps?: SeamMaps;
  readonly state?: SeamState;
  readonly memory?: Partial<NetworkMemory>;
  readonly scratch?: () => Promise<string>;
  readonly signal?: AbortSignal;
}

function scalesOf(bench: Bench, asked: Asked = {}): Promise<SeamState> {
  const { maps = NO_MAPS, state = {}, groupedValues = true, memory = {}, signal, ...given } = asked;
  const work = {
    cache: bench.cache,
    network: networkOf(bench, { memory }),
    ...{ maps, state, ...given },
    blocks: differentWindows(bench.checkpoint.config, 3, 12),
    options: { samples: 3, groupedValues },
  };
  return scalesBy(method, work, signal ? { signal } : {});
}

/** Rounds the golden model's weights with the scales given. */
async function clipped(
  t: TestContext,
  bench: Bench,
  state: SeamState,
  weights: WeightQuantizer,
  memory: Partial<NetworkMemory> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'awq-test-'));
  t.after(() => rm(folder, { recursive: true }));
  const network = networkOf(bench, { maps: method.maps, state, weights, memory });
  const layers = new RoundedLayers(folder, 'key');
  const blocks = differentWindows(bench.checkpoint.config, 3, 12);
  const options = { samples: 3, tokens: 512 };
  const run = (signal?: AbortSignal) =>
    clipping.round!.run(
      { cache: bench.cache, network, ...UNREAD, blocks, layers, options, grids: null },
      signal,
    );
  return { folder, layers, run };
}

const numbers = (tensor: Tensor): Float32Array =>
  tensor.kind === 'file' ? toFloat32(tensor) : (tensor.data as Float32Array);

/** Scales of a seam, from the factors that channels are multiplied by. */
function scalesFrom(factors: Float32Array, gain: Float32Array | null): number[] {
  return Array.from(factors, (factor, channel) => (gain ? gain[channel]! : 1) / factor);
}

for (const kernels of KERNELS)
  for (const [name, setting] of Object.entries(GOLDEN.settings))
    test(`${name}: scales, bounds and codes are PyTorch's (${kernels} kernels)`, async (t) =>
      withModel('llama', kernels, async (bench) => {
        const quantizer = { ...setting, clipSearch: false };
        const golden = GOLDEN.layers[name]!;
        const state = await scalesOf(bench, { quantizer });
        for (const [layer, { scales, errors }] of golden.entries()) {
          const { inputNorm, postNorm } = bench.checkpoint.layer(layer);
          const gains = { 'attention-norm': numbers(inputNorm), 'mlp-norm': numbers(postNorm) };
          for (const seam of SEAMS) {
            const [least = 0, next = 0] = [...errors[seam]].sort((a, b) => a - b);
            assert.ok(next - least > PRECISION * next, 'the best candidate is clear');
            const found = scalesFrom(
              state[seam]![layer]!,
              seam in gains ? gains[seam as keyof typeof gains] : null,
            );
            scales[seam].forEach((scale, channel) => {
              assert.ok(
                Math.abs(found[channel]! - scale) <= PRECISION * scale,
                `${seam} ${layer} ${channel}`,
              );
            });
          }
        }
        const { layers, run } = await clipped(t, bench, state, quantizer);
        for await (const _ of run());
        for (const [layer, expected] of golden.entries())
          compareRounded(bench, layers, layer, expected, quantizer);
      }));

/** The scale of a grid comes from the trial that PyTorch takes, and codes are its codes. */
function compareRounded(
  bench: Bench,
  layers: RoundedLayers,
  layer: number,
  golden: GoldenLayer,
  quantizer: WeightQuantizer,
): void {
  const rounded = gridsOf(layers.read(layer));
  // A quotient W/s is at most 8, and is off by three roundings of the weight, its scale and the quotient.
  assert.ok(golden.tie > 8 * 3 * 2 ** -24 && golden.margin > PRECISION, 'no choice is close');
  for (const [linear, trials] of Object.entries(golden.trials) as [Linear, string][]) {
    const weight = scaledWeight(bench.checkpoint, layer, linear, golden.scales);
    const expected = gridScales(weight, rounded[linear], trials, quantizer);
    expected.forEach((scale, group) => {
      if (scale === null) return;
      const off = Math.abs(rounded[linear].scale[group]! - scale);
      assert.ok(off <= PRECISION * scale, `${linear} ${layer} ${group}`);
    });
  }
  for (const [linear, digits] of Object.entries(golden.codes) as [Linear, string][]) {
    const codes = Array.from(rounded[linear].codes, (code) => (code + 8).toString(16));
    const shown = codes.map((digit, index) => (digits[index] === '.' ? '.' : digit)).join('');
    assert.equal(shown, digits, `${linear} ${layer}`);
  }
}

/** AWQ rounds to grids. */
function gridsOf(layer: RoundedLayer): Record<Linear, GridMatrix> {
  return recordOf(LINEARS, (linear) => {
    const matrix = layer[linear];
    assert.ok('codes' in matrix, linear);
    return matrix;
  });
}

/**
 * diag(1/s) W diag(s) in loops, s of the seams that the weight writes and reads. The rows of up stay: the network divides
 * what the MLP's product gives.
 */
function scaledWeight(
  { layer, config }: Checkpoint,
  index: number,
  linear: Linear,
  scales: GoldenLayer['scales'],
): Float64Array {
  const tensor = layer.call({ layer }, index)[linear];
  const columns = tensor.dims[1]!;
  const repeats = config.heads / config.kvHeads;
  const ofHead = (column: number): number =>
    Math.floor(column / config.headDim / repeats) * config.headDim + (column % config.headDim);
  return Float64Array.from(numbers(tensor), (w, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const read = {
      ...{ q: scales['attention-norm'], k: scales['attention-norm'], v: scales['attention-norm'] },
      ...{ gate: scales['mlp-norm'], up: scales['mlp-norm'], down: scales['up-down'], o: null },
    }[linear];
    const into = read ? read[column]! : scales.value[ofHead(column)]!;
    return (w * into) / (linear === 'v' ? scales.value[row]! : 1);
  });
}

/** The scale of each row and group that is clipped at the trial given; null for those left out. */
function gridScales(
  weight: Float64Array,
  { rows, columns, scale }: GridMatrix,
  trials: string,
  { symmetric }: WeightQuantizer,
): (number | null)[] {
  const groups = scale.length / rows;
  const width = columns / groups;
  return Array.from(trials, (trial, group) => {
    if (trial === '.') return null;
    const own = weight.subarray(group * width, (group + 1) * width);
    const bound = (1 - Number(trial) / 20) * own.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    if (symmetric) return bound / 7;
    const clip = own.map((w) => Math.min(Math.max(w, -bound), bound));
    return (Math.max(...clip) - Math.min(...clip)) / 15;
  });
}

/** With biases, with head norms, with a window and files in parts: seams.test.ts has all models. */
const DIFFERENT = [
  'llama-biases-linear',
  'qwen3',
  'mistral-window-sharded',
] as const satisfies readonly (typeof GOLDEN_NAMES)[number][];

for (const name of DIFFERENT)
  test(`${name}: scaled networks compute what they computed, alone and behind a rotation`, () =>
    withModel(name, KERNELS.at(-1)!, async (bench) => {
      const golden = readGolden(name);
      const { hiddenSize: hidden, headDim, layers } = bench.checkpoint.config;
      const drawn = drawRotations({ hidden, headDim, layers }, { r1: 'random', r2: null }, new Rng(4));
      const rotated = {
        maps: spinQuantMaps({ r1: true, r2: false, r3: null, r4: null }),
        state: spinQuantState(drawn.r1, null),
      };
      for (const before of [{ maps: {}, state: {} }, rotated]) {
        const scales = await scalesOf(bench, before);
        const maps = { ...before.maps, ...method.maps };
        const network = networkOf(bench, { maps, state: { ...before.state, ...scales } });
        const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
        const difference = golden.logits
          .flat()
          .reduce((most, one, i) => Math.max(most, Math.abs(one - logits[i]!)), 0);
        // As in golden-logits.test.ts: each product more at a site may add as much as transformers' own float32 pass.
        assert.ok(difference <= 4 * golden.float32MaxDifference, `${difference}`);
      }
    }));

test("values that query heads share stay as they are where the original's way is asked for", () =>
  withModel('llama', KERNELS.at(-1)!, async (bench) => {
    const [grouped, original] = [await scalesOf(bench), await scalesOf(bench, { groupedValues: false })];
    assert.ok(original.value!.every((factors) => factors.every((factor) => factor === 1)));
    assert.ok(grouped.value!.some((factors) => factors.some((factor) => factor !== 1)));
    const { value: _, ...others } = grouped;
    for (const seam of SEAMS.filter((one) => one !== 'value'))
      assert.deepEqual(original[seam], others[seam], seam);
  }));

test('scales do not depend on the memory there is, and the search can be stopped', async (t) =>
  withModel('llama', KERNELS.at(-1)!, async (bench) => {
    const folder = await mkdtemp(join(tmpdir(), 'awq-test-'));
    t.after(() => rm(folder, { recursive: true }));
    const whole = await scalesOf(bench);
    const scratch = async () => join(folder, 'made');
    const small = await scalesOf(bench, { memory: { tokensAtOnce: 12, groupBytes: 0 }, scratch });
    // Sums over the text are taken in another order: the same candidates win, their means differ in the last digits.
    for (const seam of SEAMS)
      whole[seam]!.forEach((factors, layer) => {
        factors.forEach((factor, channel) => {
          const other = small[seam]![layer]![channel]!;
          assert.ok(Math.abs(other - factor) <= PRECISION * Math.abs(factor), `${seam} ${layer} ${channel}`);
        });
      });
    await assert.rejects(scalesOf(bench, { signal: AbortSignal.abort() }), Cancelled);
  }));

const ROWS = { bits: 4, symmetric: true, group: 0, clipSearch: false };

test('clipping that was stopped goes on at its layer, to the same bits', async (t) =>
  withModel('llama', KERNELS.at(-1)!, async (bench) => {
    const state = await scalesOf(bench, { quantizer: ROWS });
    const whole = await clipped(t, bench, state, ROWS);
    assert.deepEqual(await layersOf(whole.run()), [0, 1]);
    const stopped = await clipped(t, bench, state, ROWS, { groupBytes: 0 });
    for await (const event of stopped.run()) if (event.type === 'rounding') break;
    assert.equal(stopped.layers.isComplete(1), true);
    assert.equal(stopped.layers.isComplete(2), false);
    assert.deepEqual(await layersOf(stopped.run()), [0, 1]);
    for (const layer of [0, 1]) assert.deepEqual(stopped.layers.read(layer), whole.layers.read(layer));
    await assert.rejects((await clipped(t, bench, state, ROWS)).run(AbortSignal.abort()).next(), Cancelled);
  }));

async function layersOf(events: AsyncGenerator<RunEvent, void>): Promise<number[]> {
  const found: number[] = [];
  for await (const event of events) if (event.type === 'rounding') found.push(event.layer);
  return found;
}

test('what clipping reports is an error of outputs: smaller for all weights but q and k, which stay', async (t) =>
  withModel('llama', KERNELS.at(-1)!, async (bench) => {
    const { layers, run } = await clipped(t, bench, await scalesOf(bench), ROWS);
    await layersOf(run());
    for (const { linear, error, nearest } of [0, 1].flatMap((layer) => layers.record(layer)?.errors ?? []))
      assert.ok(['q', 'k'].includes(linear) ? error === nearest : error < nearest, linear);
  }));

const folder = demoFolder();

test('a whole job: scales, then clipped weights, lower the perplexity of rounding, and nothing is left', async () => {
  const rotation = { r1: 'none', r2: 'none', r3: false, r4: false } as const;
  const measure = async (scaling: 'none' | 'awq', rounding: 'rtn' | 'awq-clip') => {
    const base = await shortExperiment(folder, { rotation, weights: { method: rounding, bits: 3 } });
    const { activations, keys, values, weights } = base.quantization;
    const experiment = {
      ...base,
      scaling: { ...base.scaling, method: scaling, awq: { samples: 2, groupedValues: true } },
      quantization: {
        weights,
        activations: { ...activations, bits: 16 as const },
        keys: { ...keys, bits: 16 as const },
        values: { ...values, bits: 16 as const },
      },
    };
    const { events, result } = await collect(evaluateExperiment(experiment, { variants: ['quantized'] }));
    return { events, perplexity: result.perplexity[0]!.quantized!, runs: experiment.runs };
  };
  const [nearest, awq] = [await measure('none', 'rtn'), await measure('awq', 'awq-clip')];
  assert.ok(awq.perplexity < nearest.perplexity, `${awq.perplexity}, ${nearest.perplexity}`);
  const preserved = awq.events.find((event) => event.type === 'preservation');
  assert.ok(preserved?.type === 'preservation' && preserved.relative <= preserved.tolerance);
  const rounded = awq.events.filter((event) => event.type === 'rounding');
  assert.deepEqual(
    rounded.map(({ method: name, layer }) => `${name} ${layer}`),
    [0, 1, 2, 3, 4].map((layer) => `awq-clip ${layer}`),
  );
  assert.deepEqual(
    readdirSync(awq.runs).filter((name) => name.startsWith('.')),
    [],
  );
});
