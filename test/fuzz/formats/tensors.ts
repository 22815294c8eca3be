/** Files of tensors, by themselves. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unzipSync } from 'fflate';
import { orthogonalityError } from '../../../src/engine/rotation/orthogonal.ts';
import { type ModelRotations, readRotations } from '../../../src/engine/rotation/rotation-file.ts';
import { parsePickle } from '../../../src/formats/pickle.ts';
import { readSafetensorsHeader } from '../../../src/formats/safetensors.ts';
import { readTensor } from '../../../src/formats/tensor-io.ts';
import { readTorchTensors } from '../../../src/formats/torch-zip.ts';
import { BYTES_PER_ELEMENT, elementCount } from '../../../src/protocol/tensor.ts';
import { SIZES } from '../fixtures/model.ts';
import type { Workspace } from '../fixtures/workspace.ts';
import { mutateBytes } from '../mutations/bytes.ts';
import { mutateSafetensors, mutateZip } from '../mutations/containers.ts';
import { expectFinite, expectSane, type Format } from './format.ts';

/** Every byte of an accepted file belongs to one tensor, of the size that its shape says. */
function readWhole(path: string): void {
  const { tensors, sizeBytes } = readSafetensorsHeader(path);
  let bytes = 0;
  for (const [name, tensor] of tensors) {
    const size = elementCount(tensor.dims) * BYTES_PER_ELEMENT[tensor.dtype];
    expectSane(readTensor(tensor).data.byteLength === size, `${name} [${tensor.dims}] has not ${size} bytes`);
    bytes += size;
  }
  const header = Number(readFileSync(path).readBigUInt64LE());
  expectSane(
    8 + header + bytes === sizeBytes,
    `${sizeBytes} bytes, ${header} of header and ${bytes} of tensors`,
  );
}

const safetensors: Format = {
  name: 'safetensors',
  async open({ dir, model, run }) {
    const path = join(dir, 'damaged.safetensors');
    return {
      originals: [join(model, 'model.safetensors'), join(run, 'rotations.safetensors')].map((file) =>
        readFileSync(file),
      ),
      mutate: mutateSafetensors,
      async read(input) {
        writeFileSync(path, input);
        readWhole(path);
      },
    };
  },
};

const ROTATION_SIZES = { hidden: SIZES.hidden, headDim: SIZES.headDim, layers: SIZES.layers };

function expectOrthogonal({ r1, r2 }: ModelRotations): void {
  const all = [...(r1 ? [r1] : []), ...(r2 ?? [])];
  for (const rotation of all) {
    expectFinite(rotation, 'a rotation');
    const error = orthogonalityError(rotation, Math.sqrt(rotation.length));
    expectSane(error <= 1e-3, `a rotation has max |RᵀR − I| = ${error}`);
  }
}

/** Rotations, as a person names them with --rotations. */
function rotationFormat(
  name: string,
  file: (workspace: Workspace) => string,
  mutate: typeof mutateZip,
): Format {
  return {
    name,
    async open(workspace) {
      const path = file(workspace);
      const original = readFileSync(path);
      return {
        originals: [original],
        mutate,
        async read(input) {
          writeFileSync(path, input);
          expectOrthogonal(await readRotations(path, ROTATION_SIZES));
        },
      };
    },
  };
}

const torch = rotationFormat('torch', ({ torch }) => torch, mutateZip);
const rotations = rotationFormat(
  'rotations',
  ({ run }) => join(run, 'rotations.safetensors'),
  mutateSafetensors,
);

/** Any names: what is allowed is for the reader of archives. */
const ALLOWED = new Set(['torch._utils._rebuild_tensor_v2', 'torch.FloatStorage', 'collections.OrderedDict']);

const pickle: Format = {
  name: 'pickle',
  async open({ torch: path }) {
    const records = unzipSync(readFileSync(path));
    expectSane(readTorchTensors(path).size > 0, 'the original has no tensors');
    return {
      originals: [Buffer.from(records['archive/data.pkl']!)],
      mutate: mutateBytes,
      async read(input) {
        parsePickle('data.pkl', input, ALLOWED);
      },
    };
  },
};

export const TENSOR_FORMATS: readonly Format[] = [safetensors, rotations, torch, pickle];
