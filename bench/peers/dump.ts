/**
 * This script writes the engine's results on one batch, for another program to compare with. Tokens, rotations, loss,
 * gradients and logits go to one safetensors file.
 *
 *     node --import tsx bench/peers/dump.ts EXPERIMENT OUT.safetensors [options]
 *
 * The batch is the first of the experiment's calibration text; the network is that of learning.
 */
import { parseArgs } from 'node:util';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { LINEAR_ROLES, preparedName } from '../../src/engine/network/layer-inputs.ts';
import { compilePrepare } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import {
  deployedNetwork,
  learningNetwork,
  plainNetwork,
  rotatedNetwork,
  rotationSites,
  startingRotations,
} from '../../src/engine/plan/networks.ts';
import { calibrationBlocks, openWorkbench, type Workbench } from '../../src/engine/plan/workbench.ts';
import { readRotations } from '../../src/engine/rotation/rotation-file.ts';
import { concatenate, lossAndGradients } from '../../src/engine/transform/learning/gradient-step.ts';
import type { RotationState } from '../../src/engine/transform/learning/learner.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { float32, type HostTensor, int64, type TensorData } from '../../src/protocol/tensor.ts';

type Dump = Record<string, HostTensor>;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernels: { type: 'string', default: 'auto' },
    rotations: { type: 'string' },
    /** Number of sequences in the batch; the experiment's batch size by default. */
    sequences: { type: 'string' },
    /** Index of the first sequence. */
    from: { type: 'string', default: '0' },
    /** This merges the network without any quantizer: R1 and R2 cancel only if orthogonal, so gradients remain. */
    unquantized: { type: 'boolean', default: false },
    /** This adds the engine's rotated and rounded weights: `prepared.{layer}.{role}`. */
    prepared: { type: 'boolean', default: false },
    /** This leaves the logits out. */
    'no-logits': { type: 'boolean', default: false },
  },
});

const [experimentFile, out] = positionals;
if (experimentFile === undefined || out === undefined)
  throw new Error('usage: dump.ts EXPERIMENT OUT.safetensors');
const experiment = await resolveExperiment(experimentFile);
const bench = await openWorkbench(experiment, { kernels: values.kernels as 'auto' | 'native' | 'composed' });
try {
  await writeSafetensors(out, await collect(bench), { runtime: bench.runtime.description });
} finally {
  await bench.close();
}

async function collect(bench: Workbench): Promise<Dump> {
  const rotations = await rotationsOf(bench);
  const from = Number(values.from);
  const count = Number(values.sequences ?? experiment.rotation.learning.batchSize);
  const batch = (await calibrationBlocks(bench)).slice(from, from + count);
  return {
    ...rotationTensors(rotations),
    ...tables(bench.experiment, bench),
    ids: int64([batch.length, batch[0]!.length], BigInt64Array.from(concatenate(batch), BigInt)),
    ...(await gradientTensors(bench, rotations, batch)),
    ...(values.prepared ? await preparedWeights(bench, rotations, batch) : {}),
    ...(values['no-logits'] ? {} : await logitTensors(bench, rotations, batch[0]!)),
  };
}

async function rotationsOf({ experiment, checkpoint }: Workbench): Promise<RotationState> {
  const { hiddenSize: hidden, headDim, layers } = checkpoint.config;
  return values.rotations === undefined
    ? startingRotations(experiment, checkpoint.config)
    : await readRotations(values.rotations, { hidden, headDim, layers });
}

function rotationTensors({ r1, r2 }: RotationState): Dump {
  const named = [...(r1 ? [['R1', r1] as const] : []), ...(r2 ?? []).map((m, i) => [`R2.${i}`, m] as const)];
  return Object.fromEntries(named.map(([name, matrix]) => [name, square(matrix)]));
}

/** Returns the dense factors of R3 and R4 as `table.{order}`: another program may be unable to generate them. */
function tables(experiment: ResolvedExperiment, { checkpoint }: Workbench): Dump {
  const { r3, r4 } = rotationSites(experiment, checkpoint.config);
  const dense = [r3, r4].flatMap((plan) => (plan?.matrix ? [plan] : []));
  return Object.fromEntries(
    dense.map(({ order, matrix }) => [`table.${order}`, square(Float32Array.from(matrix!))]),
  );
}

async function gradientTensors(
  bench: Workbench,
  rotations: RotationState,
  batch: readonly Int32Array[],
): Promise<Dump> {
  const network = values.unquantized ? unquantizedNetwork(bench) : learningNetwork(bench);
  network.setRotations(rotations);
  const { loss, gradients } = await lossAndGradients(network, batch, batch.length);
  return {
    loss: { kind: 'host', dtype: 'float64', dims: [1], data: Float64Array.of(loss) },
    ...(gradients.r1 && { 'R1.gradient': square(gradients.r1) }),
    ...Object.fromEntries((gradients.r2 ?? []).map((g, layer) => [`R2.${layer}.gradient`, square(g)])),
  };
}

async function preparedWeights(
  bench: Workbench,
  { r1, r2 }: RotationState,
  batch: readonly Int32Array[],
): Promise<Dump> {
  const network = learningNetwork(bench);
  const { hiddenSize: d, headDim: h } = bench.checkpoint.config;
  const dump: Dump = {};
  for (let layer = 0; layer < network.layers; layer++) {
    const size = { batch: batch.length, sequence: batch[0]!.length };
    const { shape, types, tensors } = network.layerContext(layer, size);
    const program = await compilePrepare(bench.runtime, shape, types, 'inside');
    const matrices = {
      ...(r1 && { r1: float32([d, d], r1) }),
      ...(r2 && { r2: float32([h, h], r2[layer]!) }),
    };
    const prepared = await program.run({ ...tensors, ...matrices });
    for (const role of LINEAR_ROLES) dump[`prepared.${layer}.${role}`] = prepared[preparedName(role)]!;
    program.release();
  }
  return dump;
}

function unquantizedNetwork({ experiment, checkpoint, cache }: Workbench): Network {
  const sites = rotationSites(experiment, checkpoint.config);
  const { embeddingCentring: centreEmbedding } = experiment.rotation;
  return new Network(cache, checkpoint, {
    mode: 'merged',
    quantizers: FULL_PRECISION,
    sites,
    centreEmbedding,
  });
}

/** Returns logits [S, V] of one sequence: the checkpoint's, rotated at full precision, rotated and quantized. */
async function logitTensors(bench: Workbench, rotations: RotationState, ids: Int32Array): Promise<Dump> {
  const networks = {
    plain: plainNetwork(bench),
    rotated: rotatedNetwork(bench, rotations),
    quantized: deployedNetwork(bench, rotations, null),
  };
  const dump: Dump = {};
  for (const [name, network] of Object.entries(networks)) {
    const logits = await sequenceLogits(network, ids);
    dump[`logits.${name}`] = float32([ids.length, logits.length / ids.length], logits);
  }
  return dump;
}

function square(data: Float32Array | Float64Array): HostTensor<TensorData> {
  const n = Math.sqrt(data.length);
  return { kind: 'host', dtype: data instanceof Float64Array ? 'float64' : 'float32', dims: [n, n], data };
}
