/** The maps that an experiment puts at the seams, and the source of their numbers. */
import {
  choosesKeyOffset,
  hasLearnedRotation,
  type Quantization,
  type ResolvedExperiment,
} from '../../config/index.ts';
import type { OffsetPart, SeamName } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { quantizersOf } from '../network/quantizers.ts';
import { type SeamMaps, type SeamState, spinQuantMaps, spinQuantState } from '../network/seams.ts';
import {
  type HadamardPlan,
  planAcrossHeads,
  planHadamard,
  planPowerOfTwo,
} from '../rotation/hadamard-plan.ts';
import { Rng } from '../rotation/random.ts';
import { drawRotations, type RandomRotationKind } from '../rotation/random-rotation.ts';
import { type ModelRotations, readRotations } from '../rotation/rotation-file.ts';
import { groupStatement } from './group-price.ts';
import { kroneckerStatement } from './kronecker-price.ts';

/** The fixed transforms that an experiment switches on. R3 cancels in q·k, so without a key quantizer it is left out. */
function hadamardPlans(
  { rotation, quantization }: ResolvedExperiment,
  config: ModelConfig,
): Readonly<Record<'acrossHeads' | 'r3' | 'r4', HadamardPlan | null>> {
  return {
    acrossHeads: rotation.acrossHeads ? planAcrossHeads(config.heads) : null,
    r3: rotation.r3 && quantization.keys.bits < 16 ? planHadamard(config.headDim) : null,
    r4: rotation.r4 ? planR4(rotation, config) : null,
  };
}

/** R4, in the blocks that an experiment asks for. */
export function planR4(
  { r4Blocks }: Pick<ResolvedExperiment['rotation'], 'r4Blocks'>,
  { intermediateSize }: Pick<ModelConfig, 'intermediateSize'>,
): HadamardPlan {
  return r4Blocks === 'power-of-two' ? planPowerOfTwo(intermediateSize) : planHadamard(intermediateSize);
}

/** The rotations that an experiment switches on. */
export function rotationMaps(experiment: ResolvedExperiment, config: ModelConfig): SeamMaps {
  const { r1, r2 } = experiment.rotation;
  const r2PerHead = mapsOfLayer(experiment, config) > 1;
  return spinQuantMaps({
    r1: r1 !== 'none',
    r2: r2 !== 'none',
    r2PerHead,
    ...hadamardPlans(experiment, config),
  });
}

/** Rotations of values in a layer. */
export function mapsOfLayer(
  { rotation }: Pick<ResolvedExperiment, 'rotation'>,
  { kvHeads }: Pick<ModelConfig, 'kvHeads'>,
): number {
  return rotation.r2Per === 'kv-head' ? kvHeads : 1;
}

/** A sentence for each thing beside products at run time: Hadamard transforms, products of Kronecker, scales of groups, keys without a part. */
export function runTimeStatements(
  experiment: ResolvedExperiment,
  config: ModelConfig,
  maps: SeamMaps,
): string[] {
  const { acrossHeads, r3, r4 } = hadamardPlans(experiment, config);
  const { quantizers } = quantizersOf(experiment.quantization, experiment.rotation, config);
  const groups = groupStatement(experiment, config);
  const products = kroneckerStatement(maps, config);
  return [
    ...(acrossHeads ? [`across heads: ${acrossHeads.statement}`] : []),
    ...(r3 ? [`R3: ${r3.statement}`] : []),
    ...(r4 ? [`R4: ${r4.statement}`] : []),
    ...(products === null ? [] : [products]),
    ...(groups === null ? [] : [groups]),
    ...keyStatements(experiment, quantizers.keyOffset),
  ];
}

const OFFSET_STATEMENTS: Readonly<Record<OffsetPart, string>> = {
  bias: 'keys: quantized without the bias of k_proj, which comes back in the scores',
  mean: 'keys: quantized without their mean on the calibration text, which comes back in the scores',
};

/** Before the calibration text was looked at, it is open whether its mean is taken. */
function keyStatements(experiment: ResolvedExperiment, offset: OffsetPart | undefined): string[] {
  if (choosesKeyOffset(experiment))
    return [
      'keys: quantized without their mean if that lowers their error on the calibration text, else without the bias of k_proj, if there is one',
    ];
  return offset === undefined ? [] : [OFFSET_STATEMENTS[offset]];
}

/**
 * Rotations by their kind: drawn from the seed, R1 first, then R2 of each layer, or of each of its key/value heads;
 * `learned` starts as `start` says.
 */
export function startingMaps(experiment: ResolvedExperiment, config: ModelConfig): SeamState {
  const { r1, r2, start, seed } = experiment.rotation;
  const kind = (wanted: typeof r1): RandomRotationKind | null =>
    wanted === 'none' ? null : wanted === 'learned' ? (start === 'random' ? 'random' : 'hadamard') : wanted;
  const { hiddenSize: hidden, headDim, layers } = config;
  const sizes = { hidden, headDim, layers, r2PerLayer: mapsOfLayer(experiment, config) };
  const drawn = drawRotations(sizes, { r1: kind(r1), r2: kind(r2) }, new Rng(seed));
  return spinQuantState(drawn.r1, drawn.r2);
}

/**
 * Rotations by the experiment: those marked `learned` come from the file or run folder given, others from the seed.
 * @throws UserError when learned ones are asked for and none are given.
 */
export async function givenMaps(
  experiment: ResolvedExperiment,
  config: ModelConfig,
  path: string | null,
): Promise<SeamState> {
  const drawn = startingMaps(experiment, config);
  if (!hasLearnedRotation(experiment.rotation)) return drawn;
  if (path === null) {
    throw new UserError(
      'rotation/not-learned-yet',
      `${experiment.source.file} marks rotations "learned", and none are given.`,
      'Run optimize first, or name a file or run folder with --rotations.',
    );
  }
  const { hiddenSize: hidden, headDim, layers } = config;
  const r2PerLayer = experiment.rotation.r2 === 'learned' ? mapsOfLayer(experiment, config) : undefined;
  const { r1, r2 } = await readRotations(path, { hidden, headDim, layers, r2PerLayer });
  const given = {
    ...(experiment.rotation.r1 === 'learned' && { residual: [required(r1, 'R1', path)] }),
    ...(experiment.rotation.r2 === 'learned' && { value: required(r2, 'R2', path) }),
  };
  return { ...drawn, ...given };
}

function required<T>(value: T | null, name: string, path: string): T {
  if (value !== null) return value;
  throw new UserError(
    'rotation/missing',
    `${path} holds no ${name}, which the experiment marks "learned".`,
    `Learn ${name}, or set rotation.${name.toLowerCase()} to another kind.`,
  );
}

/** Seams whose maps an experiment learns. */
export function learnedSeams({ rotation }: ResolvedExperiment): SeamName[] {
  return [
    ...(rotation.r1 === 'learned' ? (['residual'] as const) : []),
    ...(rotation.r2 === 'learned' ? (['value'] as const) : []),
  ];
}

/**
 * Seams whose learned rows are read by a symmetric grid alone: inputs of linear layers, and values where they are
 * rounded.
 */
export function symmetricSeams({ activations, values }: Quantization): SeamName[] {
  if (activations.bits >= 16 || !activations.symmetric) return [];
  return values.bits >= 16 || values.symmetric ? ['residual', 'value'] : ['residual'];
}

/** The rotations of a state as files name them. */
export function namedRotations(
  { residual, value }: SeamState,
  { layers }: Pick<ModelConfig, 'layers'>,
): ModelRotations {
  const r2PerLayer = value && value.length / layers;
  return {
    r1: residual?.[0] ?? null,
    r2: value ?? null,
    ...(r2PerLayer && r2PerLayer > 1 && { r2PerLayer }),
  };
}
