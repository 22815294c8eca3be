import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { readRotations, writeRotations } from '../../src/engine/rotation/rotation-file.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { RUN_FILES } from '../../src/runs/index.ts';

const SIZES = { hidden: 12, headDim: 4, layers: 11 };
const ROTATIONS = drawRotations(SIZES, { r1: 'hadamard', r2: 'random' }, new Rng(1));

describe('rotation files', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rotations-'));
  });
  after(() => rm(folder, { recursive: true }));

  const rejects = (read: Promise<unknown>, code: string, text: RegExp) =>
    assert.rejects(read, (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.equal(error.code, code);
      assert.match(error.message, text);
      return true;
    });

  for (const name of [RUN_FILES.rotations, 'R.bin']) {
    it(`${name} comes back bit by bit, more than ten layers in order`, async () => {
      const path = join(folder, name);
      await writeRotations(path, ROTATIONS, { seed: '1' });
      assert.deepEqual(await readRotations(path, SIZES), ROTATIONS);
    });
  }

  it('keeps a matrix for each key/value head, which no PyTorch dict of the reference has', async () => {
    const path = join(folder, 'heads.safetensors');
    const sizes = { ...SIZES, r2PerLayer: 3 };
    const heads = { ...drawRotations(sizes, { r1: null, r2: 'random' }, new Rng(2)), r2PerLayer: 3 };
    assert.equal(heads.r2!.length, 33);
    await writeRotations(path, heads);
    assert.deepEqual(readSafetensorsHeader(path).tensors.get('R2.10')!.dims, [3, 4, 4]);
    assert.deepEqual(await readRotations(path, sizes), heads);
    assert.deepEqual(await readRotations(path, SIZES), heads, 'where none are asked for');
    await rejects(readRotations(path, { ...sizes, r2PerLayer: 1 }), 'rotation/per-head', /each of 3 key/);
    await rejects(readRotations(path, { ...sizes, headDim: 6 }), 'rotation/size', /\[3, 4, 4\].*\[3, 6, 6\]/);
    await rejects(writeRotations(join(folder, 'R.pt'), heads), 'rotation/per-head', /one R2 for each layer/);
  });

  it('keeps metadata, and a folder stands for its file', async () => {
    const path = join(folder, RUN_FILES.rotations);
    await writeRotations(path, { r1: ROTATIONS.r1, r2: null }, { bits: 'W4A4KV4' });
    assert.equal(readSafetensorsHeader(path).metadata.bits, 'W4A4KV4');
    assert.deepEqual(await readRotations(folder, SIZES), { r1: ROTATIONS.r1, r2: null });
  });

  it('names what does not fit the model', async () => {
    const path = join(folder, 'other.safetensors');
    await writeRotations(path, ROTATIONS);
    await rejects(
      readRotations(path, { ...SIZES, hidden: 16 }),
      'rotation/size',
      /R1 .*\[12, 12\].*\[16, 16\]/,
    );
    await rejects(readRotations(path, { ...SIZES, layers: 13 }), 'rotation/layers', /no R2 for layer 11, 12/);
    await rejects(readRotations(path, { ...SIZES, layers: 10 }), 'rotation/layers', /an R2 for layer 10/);
    await writeSafetensors(path, { 'lm_head.weight': float32([1], new Float32Array(1)) });
    await rejects(readRotations(path, SIZES), 'rotation/unknown-tensor', /lm_head\.weight/);
  });

  it('measures orthogonality', async () => {
    const path = join(folder, 'bent.safetensors');
    for (const [change, text] of [
      [1.01, /is 2\.0\de-2/],
      [Number.NaN, /is NaN/],
    ] as const) {
      await writeRotations(path, { r1: ROTATIONS.r1!.map((value) => value * change), r2: null });
      await rejects(readRotations(path, SIZES), 'rotation/not-orthogonal', text);
    }
    const wide = { hidden: 1280, headDim: 4, layers: 1 };
    const { r1 } = drawRotations(wide, { r1: 'hadamard', r2: null }, new Rng(2));
    await writeRotations(path, { r1, r2: null });
    assert.deepEqual((await readRotations(path, wide)).r1, r1);
    r1!.set(r1!.subarray(0, 1280), 1280);
    await writeRotations(path, { r1, r2: null });
    await rejects(readRotations(path, wide), 'rotation/not-orthogonal', /about/);
  });

  it('refuses entries that are no numbers, and names the first', async () => {
    const path = join(folder, 'holes.safetensors');
    for (const [at, value, text] of [
      [0, Number.NaN, /R1 is not a rotation: its entry \[0, 0\] is NaN/],
      [5 * 12 + 7, Number.NaN, /its entry \[5, 7\] is NaN/],
      [143, Number.NEGATIVE_INFINITY, /its entry \[11, 11\] is -Infinity/],
    ] as const) {
      const r1 = ROTATIONS.r1!.slice();
      r1[at] = value;
      await writeRotations(path, { r1, r2: null });
      await rejects(readRotations(path, SIZES), 'rotation/not-orthogonal', text);
    }
    const r2 = ROTATIONS.r2!.map((matrix) => matrix.slice());
    r2[3]![2] = Number.NaN;
    await writeRotations(path, { r1: null, r2 });
    await rejects(readRotations(path, SIZES), 'rotation/not-orthogonal', /R2\.3 .* entry \[0, 2\] is NaN/);
  });

  it('reports files that cannot be read', async () => {
    await rejects(readRotations(join(folder, 'absent.bin'), SIZES), 'rotation/unreadable', /absent\.bin/);
    await writeFile(join(folder, 'short.bin'), 'PK');
    await assert.rejects(readRotations(join(folder, 'short.bin'), SIZES), UserError);
  });
});
