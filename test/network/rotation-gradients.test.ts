/**
 * The derivative of the whole network's loss with respect to R1 and every R2, against central finite differences in
 * float64, in both modes, and with scales at the norms beside R1. The differences are taken on the network whose
 * quantizers are frozen at the base point.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { tokenLoss } from '../../src/engine/graph/fused/token-loss.ts';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import {
  type EndsShape,
  embeddingExpression,
  headExpression,
} from '../../src/engine/network/ends-programs.ts';
import {
  gradientName,
  layerExpression,
  type NetworkMode,
  prepareExpression,
} from '../../src/engine/network/layer-programs.ts';
import { NO_MAPS, type SeamMaps, seamOf, seamsIn } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { polarProjection } from '../../src/engine/rotation/orthogonal.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { SeamName } from '../../src/protocol/block.ts';
import { type HostTensor, int64 } from '../../src/protocol/tensor.ts';
import { FrozenRunner, freeze } from '../helpers/frozen-quantizers.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import {
  layerTypes,
  noise,
  randomLayer,
  randomTensor,
  TINY_CONFIG,
  tinyQuantizers,
  tinyShape,
} from '../helpers/tiny-network.ts';

const config = TINY_CONFIG;
const { hiddenSize: D, headDim: H, kvHeads: G, vocabSize: V, layers: L } = config;
const TOKENS = 10;
let runtime: Runtime;

before(async () => {
  // float64 graphs are always composed; the native runtime must run them too.
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
});
after(() => runtime.close());

/** Maps as program inputs: of the residual, and of each layer. */
interface Maps {
  readonly r1: HostTensor;
  readonly layers: readonly LayerMaps[];
}

type LayerMaps = Readonly<Partial<Record<SeamName, HostTensor>>>;

/** Heads mixed behind R2. */
const ACROSS: SeamMaps = {
  'across-heads': { kind: 'across-heads', transform: planHadamard(config.heads) },
};
/** Scales before R2 and before R4: merged networks have no derivative by the latter. */
const BEFORE: SeamMaps = { 'value-scale': { kind: 'diagonal' }, 'up-scale': { kind: 'diagonal' } };
/** An R2 of each key/value head. */
const APART: SeamMaps = { value: { kind: 'each-head' } };
/** Scales at both norms. */
const SCALED: SeamMaps = { 'attention-norm': { kind: 'diagonal' }, 'mlp-norm': { kind: 'diagonal' } };

const ends: EndsShape = {
  config,
  tokens: TOKENS,
  mapped: true,
  centreEmbedding: false,
  embeddingType: 'float32',
  headType: 'float32',
  normType: 'float32',
};

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

interface Options {
  /** True where derivatives go through the scales of activations. */
  readonly live?: boolean;
  readonly added?: SeamMaps;
  /** True where groups of channels share a scale. */
  readonly grouped?: boolean;
}

/** The tiny model as float64 programs: frozen forward pieces and the derivative pieces under test. */
async function tinyModel(
  mode: NetworkMode,
  weightBits: number,
  { live = false, added = NO_MAPS, grouped = false }: Options,
) {
  // Mixed heads of a first token, whose values are equal, hold zeros. Where these end a range there is a kink, which the
  // second seed keeps away from.
  const random = noise(added['across-heads'] ? 8 : 7);
  const perToken = tinyQuantizers(config, weightBits, live);
  const group = { group: 4, includeZero: false };
  const perHead = grouped
    ? {
        ...perToken,
        input: { ...perToken.input, ...group },
        downInput: { ...perToken.downInput, ...group },
      }
    : perToken;
  // Mixed heads share a scale.
  const outputInput = added['across-heads'] ? perHead.downInput : perHead.outputInput;
  const base = tinyShape({ ...perHead, outputInput });
  const shape = { ...base, maps: { ...base.maps, ...added } };
  const types = layerTypes(config);
  const layers = Array.from({ length: L }, () => randomLayer(config, random));
  const tables = ropeTables(config, shape.sequence);
  const shared = {
    cos: double([shape.sequence, H / 2], tables.cos),
    sin: double([shape.sequence, H / 2], tables.sin),
    embedding: randomTensor([V, D], random),
    lmHead: randomTensor([V, D], random),
    finalNorm: randomTensor([D], random),
    ids: int64(
      [TOKENS],
      BigInt64Array.from({ length: TOKENS }, (_, i) => BigInt((i * 7) % V)),
    ),
    labels: int64(
      [TOKENS],
      BigInt64Array.from({ length: TOKENS }, (_, i) => (i % 5 === 4 ? -1n : BigInt((i * 3) % V))),
    ),
    lossWeight: double([TOKENS], new Array(TOKENS).fill(1 / 8)),
  };
  const endsShape = { ...ends, mapped: mode === 'merged' };
  const embedding = embeddingExpression(endsShape, 'float64');
  const head = headExpression(endsShape, 'float64');
  const nll = tokenLoss(head.y, head.graph.input('labels', [TOKENS], 'int64'));
  const forward = layerExpression(shape, types, mode, true, 'float64');
  const prepare = prepareExpression({ shape, types, ratios: 'inside' }, 'float64');
  const frozen = async (graph: Graph, outputs: Record<string, Value>) =>
    new FrozenRunner(await freeze(runtime, graph, outputs, live));
  const runners = {
    embed: await frozen(embedding.graph, { x: embedding.y }),
    prepare: await frozen(prepare.graph, prepare.outputs),
    layer: await frozen(forward.graph, { y: forward.y }),
    head: await frozen(head.graph, { nll }),
  };
  const preparedWeights = async (layer: number, maps: Tensors) =>
    mode === 'merged' ? runners.prepare.run(`${layer}`, { ...layers[layer], ...maps }) : {};
  const forwardPass = async (maps: Maps) => {
    const residual = maps.r1;
    const boundaries = [(await runners.embed.run('', { ...shared, residual })).x!];
    const weights: Tensors[] = [];
    for (let i = 0; i < L; i++) {
      const own = { residual, ...maps.layers[i] };
      weights.push({ ...shared, ...layers[i], ...(await preparedWeights(i, own)), ...own });
      boundaries.push((await runners.layer.run(`${i}`, { ...weights[i], x: boundaries[i]! })).y!);
    }
    const out = await runners.head.run('', { ...shared, x: boundaries[L]!, residual });
    const loss = (out.nll!.data as Float64Array).reduce((sum, value) => sum + value / 8, 0);
    return { loss, boundaries, weights };
  };
  return { shared, embedding, head, nll, forward, forwardPass };
}

type TinyModel = Awaited<ReturnType<typeof tinyModel>>;

/** The derivatives by all maps, by the graphs that the product runs, in float64. */
async function analytic(model: TinyModel, maps: Maps) {
  const { shared, embedding, head, nll, forward } = model;
  const { boundaries, weights } = await model.forwardPass(maps);
  const seed = head.graph.input('lossWeight', [TOKENS]);
  const headWanted = [head.x!, ...(head.map ? [head.map] : [])];
  const [hx, hr1] = gradients([[nll, seed]], headWanted);
  const headBackward = await Program.compile(runtime, head.graph, {
    dx: hx!,
    [gradientName('residual')]: hr1 ?? null,
  });
  const dy = forward.graph.input('dy', forward.y.dims);
  const seams = seamsIn(forward.maps);
  const wanted = [forward.x, ...seams.map((seam) => forward.maps[seam]!)];
  const [dx, ...byMap] = gradients([[forward.y, dy]], wanted);
  const layerBackward = await Program.compile(runtime, forward.graph, {
    dx: dx!,
    ...Object.fromEntries(seams.map((seam, index) => [gradientName(seam), byMap[index] ?? null])),
  });

  const sumR1 = new Float64Array(D * D);
  const add1 = (terms?: HostTensor): void => {
    const values = terms?.data as Float64Array | undefined;
    for (let i = 0; values && i < values.length; i++) sumR1[i] = sumR1[i]! + values[i]!;
  };
  const out = await headBackward.run({ ...shared, x: boundaries[L]!, residual: maps.r1 });
  add1(out[gradientName('residual')]);
  let d = out.dx!;
  const ofLayers: Record<string, HostTensor>[] = [];
  for (let i = L - 1; i >= 0; i--) {
    const share = await layerBackward.run({ ...weights[i], x: boundaries[i]!, dy: d });
    add1(share[gradientName('residual')]);
    ofLayers[i] = share;
    d = share.dx!;
  }
  if (embedding.map) {
    const dxInput = embedding.graph.input('dx', embedding.y.dims);
    const [er1] = gradients([[embedding.y, dxInput]], [embedding.map]);
    const backward = await Program.compile(runtime, embedding.graph, { r1: er1! });
    add1((await backward.run({ ...shared, dx: d })).r1);
  }
  return { r1: sumR1, layers: ofLayers };
}

async function checkMode(mode: NetworkMode, weightBits: number, options: Options = {}): Promise<void> {
  const { live = false, added = NO_MAPS } = options;
  const model = await tinyModel(mode, weightBits, options);
  const random = noise(3);
  // Not orthogonal on purpose where the derivative holds for every matrix: errors could hide on the manifold.
  const near = (n: number) =>
    double(
      [n, n],
      Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0) + 0.3 * random()),
    );
  const r1 = near(D);
  // The unrotated form uses that R1 is orthogonal (rotated-quantizer.ts); all of its directions are still tested.
  if (mode === 'unrotated' && !live)
    (r1.data as Float64Array).set(polarProjection(r1.data as Float64Array, D));
  const scales = (seam: SeamName) => {
    const { channels } = seamOf(seam, config);
    return double(
      [channels],
      Array.from({ length: channels }, () => 1.5 + 0.5 * random()),
    );
  };
  const layers = Array.from(
    { length: L },
    (): LayerMaps => ({
      value: added.value
        ? double([G, H, H], Array.from({ length: G }, () => [...near(H).data]).flat())
        : near(H),
      ...Object.fromEntries(
        seamsIn(added).flatMap((seam) =>
          added[seam]!.kind === 'diagonal' ? [[seam, scales(seam)] as const] : [],
        ),
      ),
    }),
  );
  const maps = { r1, layers };
  const found = await analytic(model, maps);
  const pairs: [string, HostTensor, Float64Array][] = [
    ['R1', r1, found.r1],
    ...layers.flatMap((own, i) =>
      seamsIn(own).flatMap((seam): [string, HostTensor, Float64Array][] => {
        const gradient = found.layers[i]![gradientName(seam)];
        if (seam === 'up-scale' && mode === 'merged') return [];
        return [[`${seam} ${i}`, own[seam]!, gradient!.data as Float64Array]];
      }),
    ),
  ];
  // Central differences at step e err by e²|f‴|/6 + eps|f|/e: about 1e-9 here for derivatives of order one.
  const step = 1e-5;
  for (const [name, map, gradient] of pairs) {
    const largest = gradient.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    assert.ok(largest > 1e-3, `${name}: the derivative must not vanish, found ${largest}`);
    let worst = 0;
    const data = map.data as Float64Array;
    for (let i = 0; i < data.length; i++) {
      const kept = data[i]!;
      data[i] = kept + step;
      const above = (await model.forwardPass(maps)).loss;
      data[i] = kept - step;
      const below = (await model.forwardPass(maps)).loss;
      data[i] = kept;
      worst = Math.max(worst, Math.abs((above - below) / (2 * step) - gradient[i]!));
    }
    assert.ok(
      worst < 1e-8 * Math.max(1, largest),
      `${mode} W${weightBits} ${name}: differs by ${worst} of ${largest}`,
    );
  }
}

test('∂loss/∂R1 and ∂loss/∂R2 of the whole network, 16-bit weights in the loop', () =>
  checkMode('unrotated', 16));
test('∂loss/∂R1 and ∂loss/∂R2 of the whole network, 4-bit weights in the loop', () => checkMode('merged', 4));
test('∂loss/∂R1 and ∂loss/∂R2 through 16-bit merged weights', () => checkMode('merged', 16));
test('∂loss/∂R1 and ∂loss/∂R2 through the scales of all activation quantizers', async () => {
  await checkMode('unrotated', 16, { live: true });
  await checkMode('merged', 4, { live: true });
});
test('with scales at the norms beside R1, in both forms, by R1, R2 and the scales', async () => {
  await checkMode('merged', 4, { added: SCALED });
  await checkMode('unrotated', 16, { added: SCALED });
  await checkMode('unrotated', 16, { live: true, added: { ...SCALED, ...BEFORE } });
});
test('with heads mixed behind R2, in both forms, and through scales', async () => {
  await checkMode('unrotated', 16, { added: ACROSS });
  await checkMode('merged', 4, { added: ACROSS });
  await checkMode('unrotated', 16, { live: true, added: ACROSS });
  await checkMode('merged', 4, { live: true, added: ACROSS });
});
test('with an R2 of each key/value head, in both forms, and through scales', async () => {
  await checkMode('unrotated', 16, { added: APART });
  await checkMode('merged', 4, { added: APART });
  await checkMode('unrotated', 16, { live: true, added: APART });
});
test('with scales before R2 and R4, in both forms, and through scales of quantizers', async () => {
  await checkMode('unrotated', 16, { added: BEFORE });
  await checkMode('merged', 4, { added: BEFORE });
  await checkMode('unrotated', 16, { live: true, added: BEFORE });
});
test('where groups of channels share a scale, in both forms, and through these scales', async () => {
  await checkMode('unrotated', 16, { grouped: true });
  await checkMode('merged', 4, { grouped: true });
  await checkMode('unrotated', 16, { live: true, grouped: true });
  await checkMode('merged', 4, { live: true, grouped: true });
});
