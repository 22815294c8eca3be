/** What groups of channels cost at run time, counted by hand on a small model. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/index.ts';
import { groupPrice, groupStatement } from '../../src/engine/plan/group-price.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

/** q/k/v read 8 channels and write 16, o 8 and 8, gate and up 8 and 24, down 12 and 8: 480 weights in a layer. */
const config = {
  ...TINY_CONFIG,
  ...{ hiddenSize: 8, intermediateSize: 12, heads: 4, kvHeads: 2, headDim: 2, layers: 2 },
};

const experiment = (activations: object, more: object = {}, rotation: object = {}) => {
  const { quantization, rotation: parsed } = experimentSchema.parse({
    model: 'm',
    quantization: { activations, ...more },
    rotation,
  });
  return { quantization, rotation: parsed };
};

const close = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-12, `${a} ${b}`);

test('whole tokens and heads have no price of groups, nor has what is not rounded', () => {
  assert.equal(groupPrice(experiment({}), config), null);
  assert.equal(groupStatement(experiment({}), config), null);
  assert.equal(groupPrice(experiment({ bits: 16, groupSize: 4 }), config), null);
});

test('a scale and a zero point for each group, three operations for each output and group', () => {
  const price = groupPrice(experiment({ groupSize: 4 }), config)!;
  assert.deepEqual(price.sizes, [4]);
  // 2, 2 and 3 groups of 36 channels, 16·2 + 24·2 + 8·3 outputs and groups.
  close(price.bitsPerActivation, (64 * 7) / 36);
  close(price.share, (3 * (32 + 48 + 24)) / (2 * (128 + 64 + 192 + 96)));
  const across = groupPrice(experiment({ groupSize: 4 }, {}, { acrossHeads: true }), config)!;
  close(across.bitsPerActivation, (64 * 9) / 36);
  assert.match(
    groupStatement(experiment({ groupSize: 4 }), config)!,
    /for each 4 channels, 12\.44 bits more .* 33 %/,
  );
});

test('exceptions have prices of their own', () => {
  const exceptions = [
    { layers: '0', activations: { groupSize: 2 } },
    { layers: '1', sites: 'down', activations: { groupSize: null } },
  ];
  const price = groupPrice(experiment({ groupSize: 4 }, { exceptions }), config)!;
  assert.deepEqual(price.sizes, [2, 4]);
  close(price.bitsPerActivation, (64 * (4 + 4 + 6 + 2 + 2)) / 72);
});
