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
import { rotationFault } from './rotation-fault.ts';

/** A model's rotations act on row vectors, x ↦ x·R, as in files. */
export interface ModelRotations {
  /** [hidden, hidden], or null. */
  readonly r1: Float32Array | null;
  /** One [headDim, headDim] per layer, or null. */
  readonly r2: readonly Float32Array[] | null;
}

/** The sizes that a model's rotations must have. */
export interface RotationSizes {
  readonly hidden: number;
  readonly headDim: number;
  readonly layers: number;
}

const LAYER_R2 = /^(?:R2\.(\d+)|model\.layers\.(\d+)\.self_attn\.R2)$/;

/**
 * Writes rotations atomically. `*.bin` and `*.pt` become a PyTorch dict under the reference's names (`R1`,
 * `model.layers.{i}.self_attn.R2`, no metadata). Other names become a safetensors file with `R1`, `R2.{i}` in float32.
 * @param metadata origin of the rotations: model, bits, seed …
 */
export async function writeRotations(
  path: string,
  { r1, r2 }: ModelRotations,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const torch = /\.(bin|pt|pth)$/.test(path);
  const named = (name: string) => (torch ? (referenceName(name) ?? name) : name);
  const tensors: Record<string, HostTensor<Float32Array>> = {};
  if (r1 !== null) tensors.R1 = square(r1);
  r2?.forEach((matrix, layer) => {
    tensors[named(`R2.${layer}`)] = square(matrix);
  });
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

/**
 * Reads rotations that {@link writeRotations} wrote or an `R.bin`; a folder means its `rotations.safetensors`.
 * The first bytes tell the kind of file.
 * @throws UserError `rotation/…` when a tensor is unknown, has another size than the model needs, is missing for some
 * layers, or is not orthogonal to 1e-3.
 */
export async function readRotations(path: string, sizes: RotationSizes): Promise<ModelRotations> {
  const file = isDirectory(path) ? join(path, RUN_FILES.rotations) : path;
  const { tensors } = readTensors(file);
  const layers = new Map<number, Float32Array>();
  let r1: Float32Array | null = null;
  for (const [name, tensor] of tensors) {
    const match = LAYER_R2.exec(name);
    if (match) {
      const layer = Number(match[1] ?? match[2]);
      layers.set(layer, readRotation(file, name, tensor, sizes.headDim));
    } else if (name === 'R1') {
      r1 = readRotation(file, name, tensor, sizes.hidden);
    } else {
      throw new UserError(
        'rotation/unknown-tensor',
        `${file} holds a tensor ${name}; known are R1, R2.{layer} and model.layers.{layer}.self_attn.R2.`,
        'Name a file of rotations, not of weights.',
      );
    }
  }
  return { r1, r2: layers.size === 0 ? null : inOrder(file, layers, sizes.layers) };
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

function inOrder(path: string, byLayer: ReadonlyMap<number, Float32Array>, layers: number): Float32Array[] {
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

function readRotation(path: string, name: string, tensor: Tensor, n: number): Float32Array {
  const { dims } = tensor;
  if (dims.length !== 2 || dims[0] !== n || dims[1] !== n) {
    throw new UserError(
      'rotation/size',
      `${path}: ${name} has the shape [${dims.join(', ')}]; the model needs [${n}, ${n}].`,
      'Use rotations that were learned for this model.',
    );
  }
  const rotation = toFloat32(tensor);
  const fault = rotationFault(rotation, n);
  if (fault !== null) {
    throw new UserError(
      'rotation/not-orthogonal',
      `${path}: ${name} is not a rotation: ${fault}.`,
      'The file is damaged or holds something else; learn the rotation again.',
    );
  }
  return rotation;
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
