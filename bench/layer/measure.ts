/**
 * Measures the layers of a network with random weights of SmolLM2-135M's shape as they decode, weights packed and keys
 * and values as codes: with its operators in turn, with those that lowering joins, and joined without R3 and R4. Layers
 * have weights of their own, and contenders take turns. Prints JSON.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Int4MatMul } from '../../src/engine/graph/fused/int4-matmul.ts';
import { swappedAxes } from '../../src/engine/graph/fused/swap-axes.ts';
import { apply, type Graph, type Value } from '../../src/engine/graph/graph.ts';
import { composeHelpers } from '../../src/engine/graph/lower/composed.ts';
import { lower } from '../../src/engine/graph/lower/index.ts';
import { encodeModel } from '../../src/engine/graph/onnx.ts';
import type { Tensors } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Rebuilt, type Rewrite, rebuild } from '../../src/engine/graph/rebuild.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { kroneckerFactors, kroneckerNumbers } from '../../src/engine/network/kronecker.ts';
import { LayerCache } from '../../src/engine/network/layer-cache.ts';
import { DECODE } from '../../src/engine/network/layer-programs.ts';
import type { LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { Positions, slicedTables } from '../../src/engine/network/position-tables.ts';
import { type SeamMaps, type SeamState, seamOf, spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Session } from '../../src/engine/runtime/types.ts';
import { float32, type HostTensor, zeros } from '../../src/protocol/tensor.ts';
import { median } from '../probe.ts';
import { SMOLLM2_135M, writeSynthetic } from '../sizes/synthetic.ts';

export interface Argument {
  readonly threads: number;
  /** Bits of activations, and of keys and values. */
  readonly bits: number;
  readonly cacheBits: number;
  readonly tokens: number;
  readonly layers: number;
  readonly rounds: number;
}

export interface Row {
  readonly name: string;
  readonly nodes: number;
  /** Of one layer: the mean of each one's fastest call, and the median of all calls. */
  readonly milliseconds: number;
  readonly median: number;
}

interface Contender {
  readonly name: string;
  readonly nodes: number;
  readonly session: Session;
  readonly into: Record<string, HostTensor>;
  /** Inputs of the program, by layer. */
  readonly layers: readonly Tensors[];
  /** Of the calls of each layer. */
  readonly milliseconds: readonly number[][];
}

const CAPACITY = 1024;
/** Tokens that stand in the cache. */
const DEPTH = 128;

const argument = JSON.parse(process.argv[2]!) as Argument;
const folder = join(tmpdir(), 'spinquant-bench', SMOLLM2_135M.name);
writeSynthetic(folder, SMOLLM2_135M, false);
const checkpoint = await openCheckpoint(folder);
const { config } = checkpoint;
const runtime = await createRuntime({ kernels: 'native', threads: argument.threads });
const programs = new ProgramCache(runtime);

const quantizer = (bits: number, group = 0) => ({
  ...{ bits, symmetric: false, group, clipRatio: 1, includeZero: true },
});
const quantizers: LayerQuantizers = {
  weights: { bits: 4, symmetric: true, group: 0, clipSearch: false },
  input: quantizer(argument.bits),
  outputInput: quantizer(argument.bits, config.headDim),
  downInput: quantizer(argument.bits),
  keys: quantizer(argument.cacheBits),
  values: { ...quantizer(argument.cacheBits), includeZero: false },
};

/** A product of its own for each weight. */
const alone: Rewrite = (node, inputs) => {
  if (node.op !== Int4MatMul) return null;
  const [x, ...weights] = inputs as [Value, ...Value[]];
  const { rows2 = 0, rows3 = 0, ...shared } = node.attributes;
  return [shared.rows!, rows2, rows3]
    .filter((rows) => rows !== 0)
    .map((rows, i) => apply(Int4MatMul, [x, ...weights.slice(2 * i, 2 * i + 2)], { ...shared, rows }));
};

function inTurn(graph: Graph, outputs: Readonly<Record<string, Value>>): Rebuilt {
  const split = rebuild(
    graph,
    outputs,
    (node, inputs) => composeHelpers(node, inputs) ?? alone(node, inputs),
  );
  return rebuild(split.graph, split.outputs, swappedAxes);
}

/** What stands in front of products. */
interface Form {
  readonly maps: SeamMaps;
  readonly state?: SeamState;
  /** Channels that share a scale where q, k, v, gate, up and down are read; 0 for whole tokens. */
  readonly group?: number;
}

const [r3, r4] = [planHadamard(config.headDim), planHadamard(config.intermediateSize)];
const HADAMARD: Form = { maps: spinQuantMaps({ r1: false, r2: false, r3, r4 }) };
const NONE: Form = { maps: spinQuantMaps({ r1: false, r2: false, r3: null, r4: null }) };
const R3_ALONE: Form = { maps: spinQuantMaps({ r1: false, r2: false, r3, r4: null }) };

/** FlatQuant's seams, with products of two rotations: R3 stays, R4 goes. */
function kroneckerForm(): Form {
  const seams = ['attention-norm', 'mlp-norm', 'up-down'] as const;
  const random = new Rng(0);
  const numbersOf = (width: number): Float32Array => {
    const [left, right] = kroneckerFactors(width).map((n) => haarRotation(n, random));
    const gain = new Float64Array(width).fill(1);
    return Float32Array.from(kroneckerNumbers({ gain, left: left!, right: right! })!);
  };
  const ofLayers = (width: number): Float32Array[] =>
    Array<Float32Array>(config.layers).fill(numbersOf(width));
  return {
    maps: {
      ...R3_ALONE.maps,
      ...Object.fromEntries(seams.map((seam) => [seam, { kind: 'kronecker' }])),
    },
    state: Object.fromEntries(seams.map((seam) => [seam, ofLayers(seamOf(seam, config).width)])),
  };
}

async function contender(name: string, form: Form, isJoined: boolean): Promise<Contender> {
  const { maps, state, group = 0 } = form;
  const own = {
    ...quantizers,
    input: quantizer(argument.bits, group),
    downInput: quantizer(argument.bits, group),
  };
  const network = new Network(programs, checkpoint, {
    ...{ mode: 'merged', quantizers: own, maps, centreEmbedding: false, integer: 'always' },
  });
  if (state) network.setMaps(state);
  const shape = { batch: 1, sequence: argument.tokens, capacity: CAPACITY };
  const { shape: layer, types } = network.layerContext(0, shape);
  const built = DECODE.build({ shape: layer, types, mode: 'merged' }, programs.abilities);
  const wanted = Object.fromEntries(
    Object.entries(built.outputs).flatMap(([output, value]) => (value ? [[output, value] as const] : [])),
  );
  const { graph, outputs } = isJoined ? lower(runtime, built.graph, wanted, {}) : inTurn(built.graph, wanted);
  const specs = Object.fromEntries(
    Object.entries(outputs).map(([output, { dtype, dims }]) => [output, { dtype, dims }]),
  );
  const session = await runtime.createSession(encodeModel(graph, outputs), specs);
  const into = Object.fromEntries(
    Object.entries(specs).map(([output, { dtype, dims }]) => [output, zeros(dtype, dims)]),
  );
  const layers: Tensors[] = [];
  for (let index = 0; index < argument.layers; index++) {
    const all = { ...(await network.layerInputs(index, shape)), ...(await activations()) };
    const own = graph.inputs.map(({ inputName }) => [inputName!, all[inputName!]!] as const);
    layers.push(Object.fromEntries(own));
  }
  return { name, nodes: graph.nodes.length, session, into, layers, milliseconds: layers.map(() => []) };
}

/** Rows of the residual, tables, and a cache of zeros. */
async function activations(): Promise<Tensors> {
  const count = argument.tokens * config.hiddenSize;
  const x = float32(
    [argument.tokens, config.hiddenSize],
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7) + Math.cos(i * i)),
  );
  const cache = new LayerCache(config, quantizers, 1, CAPACITY);
  const length: HostTensor = {
    kind: 'host',
    dtype: 'int64',
    dims: [1],
    data: BigInt64Array.of(BigInt(DEPTH)),
  };
  const tables = slicedTables(new Positions(config).of(CAPACITY), DEPTH, argument.tokens);
  return { ...tables, ...cache.inputs, length, x };
}

const contenders = [
  await contender('in turn', HADAMARD, false),
  await contender('joined', HADAMARD, true),
  await contender('joined, no R3 and R4', NONE, true),
  await contender('joined, no R4', R3_ALONE, true),
  await contender('FlatQuant in place of R4', kroneckerForm(), true),
  await contender('groups of 64 channels', { ...HADAMARD, group: 64 }, true),
];
for (let round = 0; round <= argument.rounds; round++)
  for (const { session, into, layers, milliseconds } of contenders)
    for (const [index, tensors] of layers.entries()) {
      const began = performance.now();
      await session.run(tensors, into);
      if (round > 0) milliseconds[index]!.push(performance.now() - began);
    }
const rows = contenders.map(({ name, nodes, milliseconds }): Row => {
  const fastest = milliseconds.map((taken) => Math.min(...taken));
  const mean = fastest.reduce((a, b) => a + b, 0) / fastest.length;
  return { name, nodes, milliseconds: mean, median: median(milliseconds.flat()) };
});
for (const { session } of contenders) session.release();
await programs.release();
runtime.close();
console.log(JSON.stringify(rows));
