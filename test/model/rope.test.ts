import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseModelConfig, readModelConfig } from '../../src/engine/model/config.ts';
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

interface RopeCase {
  readonly config: Readonly<Record<string, unknown>>;
  readonly positions: number;
  readonly frequencies: readonly number[];
  readonly attentionFactor: number;
}

/** Made by transformers: scripts/goldens/make_rope.py. */
const ROPE = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'goldens', 'rope.json'), 'utf8')) as {
  readonly sizes: object;
  readonly cases: Readonly<Record<string, RopeCase>>;
};

for (const [name, { config: keys, positions, frequencies, attentionFactor }] of Object.entries(ROPE.cases)) {
  test(`rotary scaling as in transformers: ${name}`, () => {
    const text = JSON.stringify({ model_type: 'llama', ...ROPE.sizes, ...keys });
    const config = parseModelConfig('config.json', text);
    const found = ropeFrequencies(config, positions);
    assert.equal(found.length, frequencies.length);
    for (const [j, expected] of frequencies.entries()) {
      // θ^e in float32 is off by the rounding of e times ln θ, and a dozen operations follow. YaRN subtracts a
      // blend from 1, which keeps the error absolute in the share of the plain frequency.
      const tolerance =
        (Math.log(config.ropeTheta) + 12) * U * (expected + config.ropeTheta ** (-j / 8) * 0.25);
      assert.ok(Math.abs(found[j]! - expected) <= tolerance, `${j}: ${found[j]} for ${expected}`);
    }
    const { cos } = ropeTables(config, positions);
    assert.ok(Math.abs(cos[0]! - attentionFactor) <= U * attentionFactor, `${cos[0]} for ${attentionFactor}`);
  });
}
