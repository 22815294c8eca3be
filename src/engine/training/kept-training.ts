/** What a training leaves on the disk: its state while it lasts, and the trained weights at its end. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { readSafetensorsHeader, type SafetensorsFile } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import { type FileTensor, float32, type HostTensor, type Tensor } from '../../protocol/tensor.ts';
import type { Moments } from './adam-w.ts';
import type { WeightSet } from './weight-set.ts';

/** Everything that a training needs to go on after so many steps. */
export interface TrainingState {
  readonly step: number;
  readonly weights: WeightSet;
  readonly moments: Moments;
}

/** A file that is being written was written to within this time. */
const ABANDONED_MS = 60_000;

const FIRST = 'moment1.';
const SECOND = 'moment2.';

/** The files of one training, in a folder of their own. Each is written whole or not at all. */
export class KeptTraining {
  readonly #folder: string;
  readonly #key: string;
  readonly #check: () => void;

  /**
   * @param key of the step that trains: files of another are not taken.
   * @param check called before a file is written; throws where nothing may be.
   */
  constructor(folder: string, key: string, check: () => void) {
    this.#folder = folder;
    this.#key = key;
    this.#check = check;
  }

  get #statePath(): string {
    return join(this.#folder, 'state.safetensors');
  }

  get #trainedPath(): string {
    return join(this.#folder, 'model.safetensors');
  }

  /** The trained weights, by the names of the checkpoint; null where there are none of this key. */
  trained(like: ReadonlyMap<string, Pick<Tensor, 'dims'>>): ReadonlyMap<string, FileTensor> | null {
    const found = this.#read(this.#trainedPath)?.tensors;
    const names = [...like.keys()];
    if (!found || !names.every((name) => sameShape(found.get(name), like.get(name)))) return null;
    return new Map(names.map((name) => [name, found.get(name)!]));
  }

  /** The state that an interrupted training left; null where there is none of this key, or where it is damaged. */
  state(like: WeightSet): TrainingState | null {
    const file = this.#read(this.#statePath);
    const step = Number(file?.metadata.step);
    if (!file || !Number.isInteger(step) || step < 1) return null;
    const [weights, first, second] = ['', FIRST, SECOND].map((prefix) => setOf(file, like, prefix));
    return weights && first && second ? { step, weights, moments: { first, second } } : null;
  }

  async writeState({ step, weights, moments }: TrainingState): Promise<void> {
    const tensors = [...weights, ...prefixed(FIRST, moments.first), ...prefixed(SECOND, moments.second)];
    await this.#write(this.#statePath, tensors, { step: String(step) });
  }

  /** Writes the trained weights, and removes the state and what killed processes left half written. */
  async finish(weights: WeightSet): Promise<void> {
    await this.#write(this.#trainedPath, [...weights], {});
    await rm(this.#statePath, { force: true });
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      if (name.endsWith('.tmp') && (await isAbandoned(path))) await rm(path, { force: true });
    }
  }

  async #write(
    path: string,
    tensors: readonly (readonly [string, HostTensor])[],
    metadata: Readonly<Record<string, string>>,
  ): Promise<void> {
    this.#check();
    await writing(this.#folder, () => mkdir(this.#folder, { recursive: true }));
    await writeSafetensors(path, Object.fromEntries(tensors), { key: this.#key, ...metadata });
  }

  /** A damaged file counts as none: what it held is made again. */
  #read(path: string): SafetensorsFile | null {
    if (!existsSync(path)) return null;
    try {
      const file = readSafetensorsHeader(path);
      return file.metadata.key === this.#key ? file : null;
    } catch (error) {
      if (error instanceof UserError) return null;
      throw error;
    }
  }
}

/** Another process may be at work under the same key: what it writes changes all the time. */
async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > ABANDONED_MS;
}

function prefixed(prefix: string, set: WeightSet): [string, HostTensor][] {
  return [...set].map(([name, tensor]) => [prefix + name, tensor]);
}

/** Null where a tensor is missing, has another shape, or holds what is not a finite number. */
function setOf({ tensors }: SafetensorsFile, like: WeightSet, prefix: string): WeightSet | null {
  const set = new Map<string, HostTensor<Float32Array>>();
  for (const [name, wanted] of like) {
    const file = tensors.get(prefix + name);
    if (file === undefined || !sameShape(file, wanted)) return null;
    const data = toFloat32(file);
    if (!data.every(Number.isFinite)) return null;
    set.set(name, float32(wanted.dims, data));
  }
  return set;
}

function sameShape(
  found: FileTensor | undefined,
  wanted: { readonly dims: readonly number[] } | undefined,
): boolean {
  return found?.dtype === 'float32' && found.dims.join() === wanted?.dims.join();
}
