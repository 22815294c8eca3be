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
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { concatenate } from '../../src/engine/calibration/tokens.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { preparedName } from '../../src/engine/network/layer-inputs.ts';
import { PREPARE } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { type SeamState, spinQuantState } from '../../src/engine/network/seams.ts';
import { namedRotations, rotationMaps, startingMaps } from '../../src/engine/plan/experiment-maps.ts';
import {
  deployedNetwork,
  learningNetwork,
  mappedNetwork,
  plainNetwork,
} from '../../src/engine/plan/networks.ts';
import { calibrationBlocks, openWorkbench, type Workbench } from '../../src/engine/plan/workbench.ts';
import { readRotations } from '../../src/engine/rotation/rotation-file.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { LINEARS } from '../../src/protocol/block.ts';
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
    /** This adds the engine's rotated and rounded weights: `prepared.{layer}.{linear}`. */
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
    ...rotationTensors(rotations, bench.checkpoint.config),
    ...tables(bench.experiment, bench),
    ids: int64([batch.length, batch[0]!.length], BigInt64Array.from(concatenate(batch), BigInt)),
    ...(await gradientTensors(bench, rotations, batch)),
    ...(values.prepared ? await preparedWeights(bench, rotations, batch) : {}),
    ...(values['no-logits'] ? {} : await logitTensors(bench, rotations, batch[0]!)),
  };
}

async function rotationsOf({ experiment, checkpoint }: Workbench): Promise<SeamState> {
  const { hiddenSize: hidden, headDim, layers } = checkpoint.config;
  if (values.rotations === undefined) return startingMaps(experiment, checkpoint.config);
  const { r1, r2 } = await readRotations(values.rotations, { hidden, headDim, layers });
  return spinQuantState(r1, r2);
}

function rotationTensors(state: SeamState, config: ModelConfig): Dump {
  const { r1, r2 } = namedRotations(state, config);
  const named = [...(r1 ? [['R1', r1] as const] : []), ...(r2 ?? []).map((m, i) => [`R2.${i}`, m] as const)];
  return Object.fromEntries(named.map(([name, matrix]) => [name, square(matrix)]));
}

/** Returns the dense factors of R3 and R4 as `table.{order}`: another program may be unable to generate them. */
function tables(experiment: ResolvedExperiment, { checkpoint }: Workbench): Dump {
  const maps = Object.values(rotationMaps(experiment, checkpoint.config));
  const dense = maps.flatMap((map) =>
    map.kind === 'hadamard' && map.transform.matrix ? [map.transform] : [],
  );
  return Object.fromEntries(
    dense.map(({ order, matrix }) => [`table.${order}`, square(Float32Array.from(matrix!))]),
  );
}

async function gradientTensors(
  bench: Workbench,
  rotations: SeamState,
  batch: readonly Int32Array[],
): Promise<Dump> {
  const network = values.unquantized ? unquantizedNetwork(bench) : learningNetwork(bench);
  network.setMaps(rotations);
  const { loss, gradients } = await lossAndGradients(network, batch, batch.length);
  return {
    loss: { kind: 'host', dtype: 'float64', dims: [1], data: Float64Array.of(loss) },
    ...Object.fromEntries((gradients.residual ?? []).map((g) => ['R1.gradient', square(g)])),
    ...Object.fromEntries((gradients.value ?? []).map((g, layer) => [`R2.${layer}.gradient`, square(g)])),
  };
}

async function preparedWeights(
  bench: Workbench,
  rotations: SeamState,
  batch: readonly Int32Array[],
): Promise<Dump> {
  const network = learningNetwork(bench);
  network.setMaps(rotations);
  const dump: Dump = {};
  for (let layer = 0; layer < network.layers; layer++) {
    const size = { batch: batch.length, sequence: batch[0]!.length };
    const { shape, types, tensors } = network.layerContext(layer, size);
    const program = await bench.cache.get(PREPARE, { shape, types, ratios: 'inside' });
    const prepared = await program.run({ ...tensors, ...network.maps(layer) });
    for (const linear of LINEARS) dump[`prepared.${layer}.${linear}`] = prepared[preparedName(linear)]!;
  }
  return dump;
}

function unquantizedNetwork({ experiment, checkpoint, cache }: Workbench): Network {
  const maps = rotationMaps(experiment, checkpoint.config);
  const { embeddingCentring: centreEmbedding } = experiment.rotation;
  return new Network(cache, checkpoint, {
    mode: 'merged',
    quantizers: FULL_PRECISION,
    maps,
    centreEmbedding,
  });
}

/** Returns logits [S, V] of one sequence: the checkpoint's, rotated at full precision, rotated and quantized. */
async function logitTensors(bench: Workbench, rotations: SeamState, ids: Int32Array): Promise<Dump> {
  const networks = {
    plain: plainNetwork(bench),
    rotated: mappedNetwork(bench, rotations),
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
