import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readModelConfig } from '../../src/engine/model/config.ts';
import { ropeFrequencies, ropeTables } from '../../src/engine/model/rope.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from './goldens.ts';

/** Unit roundoff of float32. */
const U = 2 ** -24;

for (const name of GOLDEN_NAMES) {
  test(`rotary tables of ${name} are those of transformers within its float32 rounding`, () => {
    const config = readModelConfig(goldenFolder(name));
    const { rope } = readGolden(name);
    const frequencies = ropeFrequencies(config);
    const { cos, sin } = ropeTables(config, Math.max(...rope.positions) + 1);
    for (const [row, position] of rope.positions.entries()) {
      for (const [j, frequency] of frequencies.entries()) {
        // θ^e in float32 is off by the rounding of e times ln θ; a dozen operations follow, then cos itself.
        const tolerance = position * frequency * U * (Math.log(config.ropeTheta) + 12) + 2 * U;
        const at = position * frequencies.length + j;
        assert.ok(Math.abs(cos[at]! - rope.cos[row]![j]!) <= tolerance, `cos at ${position}, ${j}`);
        assert.ok(Math.abs(sin[at]! - rope.sin[row]![j]!) <= tolerance, `sin at ${position}, ${j}`);
      }
    }
  });
}

test('Llama 3 scaling keeps, blends and divides', () => {
  const scaled = readModelConfig(goldenFolder('llama3-scaled-tied'));
  const plain = ropeFrequencies({ ...scaled, ropeScaling: null });
  const ratios = Array.from(ropeFrequencies(scaled), (frequency, j) => frequency / plain[j]!);
  assert.equal(ratios[0], 1);
  assert.ok(ratios[1]! > 1 / 8 && ratios[1]! < 1, `blended: ${ratios[1]}`);
  assert.deepEqual(ratios.slice(2), [1 / 8, 1 / 8]);
});
