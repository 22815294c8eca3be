import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { expectKind } from '../../disk/file-kind.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { readTorchTensors } from '../../formats/torch-zip.ts';
import { writeTorchTensors } from '../../formats/torch-zip-write.ts';
import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import { RUN_FILES } from '../../runs/index.ts';
import type { RotationSizes } from './random-rotation.ts';
import { rotationFault } from './rotation-fault.ts';

/** A model's rotations act on row vectors, x ↦ x·R, as in files. */
export interface ModelRotations {
  /** [hidden, hidden], or null. */
  readonly r1: Float32Array | null;
  /** Matrices [headDim, headDim], layer by layer, or null. */
  readonly r2: readonly Float32Array[] | null;
  /** Matrices that each layer has in `r2`, one for each key/value head in their order; 1 where absent. */
  readonly r2PerLayer?: number;
}

const LAYER_R2 = /^(?:R2\.(\d+)|model\.layers\.(\d+)\.self_attn\.R2)$/;

/**
 * Writes rotations atomically. `*.bin` and `*.pt` become a PyTorch dict under the reference's names (`R1`,
 * `model.layers.{i}.self_attn.R2`, no metadata). Other names become a safetensors file with `R1`, `R2.{i}` in float32,
 * `R2.{i}` as [G, headDim, headDim] where each of G key/value heads has its own, which a PyTorch dict cannot hold.
 * @param metadata origin of the rotations: model, bits, seed …
 * @throws UserError `rotation/per-head`
 */
export async function writeRotations(
  path: string,
  { r1, r2, r2PerLayer = 1 }: ModelRotations,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const torch = /\.(bin|pt|pth)$/.test(path);
  if (torch && r2 !== null && r2PerLayer > 1) throw onePerLayer(path, r2PerLayer);
  const named = (name: string) => (torch ? (referenceName(name) ?? name) : name);
  const tensors: Record<string, HostTensor<Float32Array>> = {};
  if (r1 !== null) tensors.R1 = square(r1);
  for (let layer = 0; layer < (r2?.length ?? 0) / r2PerLayer; layer++)
    tensors[named(`R2.${layer}`)] = ofLayer(r2!.slice(layer * r2PerLayer, (layer + 1) * r2PerLayer));
  if (torch) await writeTorchTensors(path, tensors);
  else await writeSafetensors(path, tensors, metadata);
}

/** Maps a rotation's name in a run to the reference's name in R.bin; null for other names. */
export function referenceName(name: string): string | null {
  const [, layer] = LAYER_R2.exec(name) ?? [];
  if (layer !== undefined) return `model.layers.${layer}.self_attn.R2`;
  return name === 'R1' ? name : null;
}

/**
 * Returns the file of rotations that a path names: the file itself, or that of a run folder.
 * @throws UserError `rotation/none-in-run` when there is none.
 */
export function rotationsFile(path: string): string {
  const inRun = join(path, RUN_FILES.rotations);
  if (existsSync(inRun)) return resolve(inRun);
  if (existsSync(path) && !existsSync(join(path, RUN_FILES.run))) return resolve(path);
  throw new UserError(
    'rotation/none-in-run',
    existsSync(path)
      ? `The run ${path} has no ${RUN_FILES.rotations}: it did not end.`
      : `There is no ${path}.`,
    'Name a finished run folder or a rotations.safetensors; `spinquant runs` lists runs.',
  );
}

function square(matrix: Float32Array): HostTensor<Float32Array> {
  const n = Math.sqrt(matrix.length);
  return float32([n, n], matrix);
}

/** The matrices of a layer as one tensor [n, n], or [G, n, n]. */
function ofLayer(matrices: readonly Float32Array[]): HostTensor<Float32Array> {
  if (matrices.length === 1) return square(matrices[0]!);
  const size = matrices[0]!.length;
  const all = new Float32Array(matrices.length * size);
  matrices.forEach((matrix, head) => {
    all.set(matrix, head * size);
  });
  return float32([matrices.length, Math.sqrt(size), Math.sqrt(size)], all);
}

/** The reference's names know no heads. */
export function onePerLayer(path: string, heads: number): UserError {
  return new UserError(
    'rotation/per-head',
    `${path} is to hold one R2 for each layer; here each of ${heads} key/value heads has its own.`,
    'Use the format safetensors, or learn with "r2Per": "layer".',
  );
}

/**
 * Reads rotations that {@link writeRotations} wrote or an `R.bin`; a folder means its `rotations.safetensors`.
 * The first bytes tell the kind of file.
 * @throws UserError `rotation/…` when a tensor is unknown, has another size than the model needs, is missing for some
 * layers, or is not orthogonal to 1e-3; `rotation/per-head` where layers have more or fewer matrices R2 than asked for.
 */
export async function readRotations(path: string, sizes: RotationSizes): Promise<ModelRotations> {
  const file = isDirectory(path) ? join(path, RUN_FILES.rotations) : path;
  const { tensors } = readTensors(file);
  const layers = new Map<number, Float32Array[]>();
  let r1: Float32Array | null = null;
  for (const [name, tensor] of tensors) {
    const match = LAYER_R2.exec(name);
    if (match) {
      const layer = Number(match[1] ?? match[2]);
      layers.set(layer, readOfLayer(file, name, tensor, sizes));
    } else if (name === 'R1') {
      r1 = readRotation(file, name, tensor, sizes.hidden)[0]!;
    } else {
      throw new UserError(
        'rotation/unknown-tensor',
        `${file} holds a tensor ${name}; known are R1, R2.{layer} and model.layers.{layer}.self_attn.R2.`,
        'Name a file of rotations, not of weights.',
      );
    }
  }
  const byLayer = inOrder(file, layers, sizes.layers);
  const r2PerLayer = byLayer[0]?.length ?? 1;
  return { r1, r2: layers.size === 0 ? null : byLayer.flat(), ...(r2PerLayer > 1 && { r2PerLayer }) };
}

/** R2 of a layer: one matrix, or one for each key/value head. */
function readOfLayer(
  path: string,
  name: string,
  tensor: Tensor,
  { headDim, r2PerLayer }: RotationSizes,
): Float32Array[] {
  const count = tensor.dims.length === 3 ? tensor.dims[0]! : 1;
  if (r2PerLayer !== undefined && count !== r2PerLayer) {
    const asked = (heads: number): string =>
      heads === 1 ? 'one R2 for all heads' : `an R2 for each of ${heads} key/value heads`;
    throw new UserError(
      'rotation/per-head',
      `${path}: ${name} has ${asked(count)}; the experiment asks for ${asked(r2PerLayer)}.`,
      `Set rotation.r2Per to "${count === 1 ? 'layer' : 'kv-head'}", or use rotations that were learned for this model.`,
    );
  }
  return readRotation(path, name, tensor, headDim, count);
}

/** What a file of rotations says of itself, without its numbers. */
export interface RotationFileFacts {
  /** Those that it holds. */
  readonly held: { readonly r1: boolean; readonly r2: boolean };
  /** `rotation.seed` of their start; null where the file does not tell it. */
  readonly seed: number | null;
}

/** Reads the names and the origin. Shapes and numbers are left to {@link readRotations}. @param file not a folder. */
export function readRotationFacts(file: string): RotationFileFacts {
  const { tensors, metadata } = readTensors(file);
  const names = [...tensors.keys()];
  const seed = Number(metadata.seed ?? Number.NaN);
  return {
    held: { r1: names.includes('R1'), r2: names.some((name) => LAYER_R2.test(name)) },
    seed: Number.isInteger(seed) ? seed : null,
  };
}

function readTensors(file: string): {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
} {
  return startsAsZip(file) ? { tensors: readTorchTensors(file), metadata: {} } : readSafetensorsHeader(file);
}

function inOrder<T>(path: string, byLayer: ReadonlyMap<number, T>, layers: number): T[] {
  if (byLayer.size === 0) return [];
  const missing = Array.from({ length: layers }, (_, layer) => layer).filter((layer) => !byLayer.has(layer));
  const extra = [...byLayer.keys()].filter((layer) => layer >= layers);
  if (missing.length > 0 || extra.length > 0) {
    const fault =
      missing.length > 0 ? `no R2 for layer ${missing.join(', ')}` : `an R2 for layer ${extra.join(', ')}`;
    throw new UserError(
      'rotation/layers',
      `${path} holds ${fault}; the model has the layers 0 to ${layers - 1}.`,
      'Use rotations that were learned for this model.',
    );
  }
  return Array.from({ length: layers }, (_, layer) => byLayer.get(layer)!);
}

/** @param count matrices in one tensor: [n, n] for one, else [count, n, n]. */
function readRotation(path: string, name: string, tensor: Tensor, n: number, count = 1): Float32Array[] {
  const { dims } = tensor;
  const wanted = dims.length === 3 ? [count, n, n] : [n, n];
  if (dims.length !== wanted.length || dims.some((size, axis) => size !== wanted[axis])) {
    throw new UserError(
      'rotation/size',
      `${path}: ${name} has the shape [${dims.join(', ')}]; the model needs [${wanted.join(', ')}].`,
      'Use rotations that were learned for this model.',
    );
  }
  const numbers = toFloat32(tensor);
  return Array.from({ length: count }, (_, index) => {
    const rotation = count === 1 ? numbers : numbers.slice(index * n * n, (index + 1) * n * n);
    const fault = rotationFault(rotation, n);
    if (fault === null) return rotation;
    throw new UserError(
      'rotation/not-orthogonal',
      `${path}: ${name} is not a rotation: ${fault}.`,
      'The file is damaged or holds something else; learn the rotation again.',
    );
  });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** PyTorch files are zip archives, which begin with PK\x03\x04. */
function startsAsZip(path: string): boolean {
  expectKind(path, 'rotations');
  const start = Buffer.alloc(4);
  const fd = readingNow(path, () => openSync(path, 'r'), { code: 'rotation/unreadable' });
  try {
    readSync(fd, start, 0, 4, 0);
  } finally {
    closeSync(fd);
  }
  return start.toString('latin1') === 'PK\x03\x04';
}
