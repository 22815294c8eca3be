/** Codes of a run, packed: read back they are the same, and the configuration says what they are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { format } from '../../src/engine/checkpoint-export/formats/compressed-tensors.ts';
import { weightsRoundedAlone } from '../../src/engine/checkpoint-export/network-forms.ts';
import { PackedWeights } from '../../src/engine/checkpoint-export/packed-reader.ts';
import { runTimeMaps, scaledMatrix } from '../../src/engine/checkpoint-export/run-time-maps.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { NetworkWeights } from '../../src/engine/onnx-export/network-weights.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { rejectsWith } from '../formats/support.ts';
import { readGolden } from '../model/goldens.ts';
import { type Form, rotated } from '../onnx-export/exported.ts';
import { openGolden, settingsOf, written } from './written.ts';

const FORMS: Readonly<Record<string, Form>> = {
  'a scale per row': { weights: 4, activations: 8 },
  'zero points': { weights: 4, activations: 4, asymmetric: true },
  groups: { weights: 4, activations: 16, groupSize: 8 },
  '3 bits': { weights: 3, activations: 16 },
  '8 bits': { weights: 8, activations: 8 },
};

for (const [what, form] of Object.entries(FORMS))
  test(`${what}: the same codes, scales and logits`, async (t) => {
    const { cache, checkpoint } = await openGolden('llama');
    const network = rotated(cache, checkpoint, form);
    const { folder, back } = await written(t, cache, network, settingsOf('compressed-tensors'));
    const own = new NetworkWeights(cache, network);
    const packed = new PackedWeights(folder, network).read(1);
    for (const linear of LINEARS) assert.deepEqual(packed[linear], await own.of(1, linear), linear);
    const ids = Int32Array.from(readGolden('llama').ids);
    const expected = await sequenceLogits(weightsRoundedAlone(cache, network), ids);
    // Weights that are rounded when they are needed are s c of the same codes, but for the last bit of a quotient.
    const found = await sequenceLogits(back, ids);
    for (const [i, logit] of found.entries()) assert.ok(Math.abs(logit - expected[i]!) < 1e-4, `${i}`);
  });

interface Args {
  readonly num_bits: number;
  readonly strategy: string;
  readonly group_size: number | null;
  readonly symmetric: boolean;
}
interface Group {
  readonly targets: readonly string[];
  readonly weights: Args;
  readonly input_activations: Args | null;
}

function configOf(folder: string) {
  const { quantization_config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  return quantization_config as {
    readonly ignore: readonly string[];
    readonly config_groups: Readonly<Record<string, Group>>;
    readonly transform_config?: { readonly config_groups: Readonly<Record<string, Record<string, unknown>>> };
  };
}

test('the configuration has a group for each kind of layers', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const network = rotated(cache, checkpoint, {
    weights: 4,
    activations: 8,
    exceptions: [{ layers: [0], sites: ['down'], weights: { bits: 16 }, activations: { bits: 16 } }],
  });
  const { folder, back } = await written(t, cache, network, settingsOf('compressed-tensors'));
  const { ignore, config_groups } = configOf(folder);
  assert.deepEqual(ignore, ['lm_head', 'model.layers.0.mlp.down_proj']);
  const groups = Object.values(config_groups);
  const [rows, heads] = [
    groups.find(({ targets }) => targets.includes('re:.*\\.q_proj$')),
    groups.find(({ targets }) => targets.includes('re:.*\\.o_proj$')),
  ];
  const others = Array.from(
    { length: checkpoint.config.layers - 1 },
    (_, i) => `model.layers.${i + 1}.mlp.down_proj`,
  );
  assert.deepEqual(rows?.targets.slice(-others.length), others);
  assert.deepEqual(
    [rows?.weights.num_bits, rows?.weights.strategy, rows?.weights.group_size],
    [4, 'channel', null],
  );
  assert.deepEqual([rows?.input_activations?.num_bits, rows?.input_activations?.strategy], [8, 'token']);
  // Where maps mix inside heads only, every head of the input of o has a scale.
  assert.deepEqual(
    [heads?.input_activations?.strategy, heads?.input_activations?.group_size],
    ['group', checkpoint.config.headDim],
  );
  const { tensors } = readSafetensorsHeader(join(folder, 'model.safetensors'));
  assert.ok(tensors.has('model.layers.0.mlp.down_proj.weight'));
  assert.ok(!tensors.has('model.layers.0.mlp.up_proj.weight'));
  assert.deepEqual(tensors.get('model.layers.0.mlp.up_proj.weight_shape')?.dims, [2]);
  const ids = Int32Array.from(readGolden('llama').ids);
  const [found, expected] = [
    await sequenceLogits(back, ids),
    await sequenceLogits(weightsRoundedAlone(cache, network), ids),
  ];
  for (const [i, logit] of found.entries()) assert.ok(Math.abs(logit - expected[i]!) < 1e-4, `${i}`);
});

test('a transform is stored as its matrix, which is that of the map', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const network = rotated(cache, checkpoint, { weights: 4, activations: 8 });
  const { folder } = await written(
    t,
    cache,
    network,
    settingsOf('compressed-tensors', { dtype: 'bfloat16' }),
  );
  const [placed] = runTimeMaps(network.options.maps);
  assert.ok(placed);
  const { block, order, matrix } = placed.map.transform;
  const { tensors } = readSafetensorsHeader(join(folder, 'model.safetensors'));
  const stored = tensors.get('model.layers.1.mlp.down_proj.R4_input.weight');
  assert.ok(stored);
  const values = toFloat32(stored);
  const width = block / order;
  // Row i of the matrix is what a channel alone becomes: its block of Sylvester's matrix, times a column of H_K.
  for (let i = 0; i < block; i++)
    for (let j = 0; j < block; j++) {
      let sign = matrix === null ? 1 : matrix[Math.floor(j / width) * order + Math.floor(i / width)]!;
      for (let bit = 1; bit < width; bit *= 2) if ((i % width) & (j % width) & bit) sign = -sign;
      assert.equal(values[i * block + j], sign, `${i} ${j}`);
    }
  assert.deepEqual(scaledMatrix(placed.map, checkpoint.config), values);
  const { R4 } = configOf(folder).transform_config?.config_groups ?? {};
  assert.equal(R4?.type, order === 1 ? 'hadamard' : 'random-hadamard');
  assert.equal(R4?.head_dim, block === checkpoint.config.intermediateSize ? null : block);
});

test('a folder that transformers refuses says so, and no other', async () => {
  const { cache, checkpoint } = await openGolden('llama');
  const usageOf = (asymmetric: boolean) => {
    const { maps, quantizers } = rotated(cache, checkpoint, {
      weights: 4,
      activations: 8,
      asymmetric,
    }).options;
    const about = { config: checkpoint.config, method: 'rtn', dense: false };
    return format
      .usage({ maps, quantizers, ...about, settings: settingsOf('compressed-tensors') })
      .join('\n');
  };
  assert.match(usageOf(true), /transformers \(5\.24\) refuses this folder/);
  assert.ok(!usageOf(true).includes('from_pretrained'));
  assert.match(usageOf(false), /from_pretrained\("FOLDER"/);
});

test('a zero point far from 0 is refused', async (t) => {
  const { cache, checkpoint } = await openGolden('llama');
  const network = rotated(cache, checkpoint, { weights: 4, activations: 8, asymmetric: true });
  const own = new NetworkWeights(cache, network);
  const layers = await Promise.all(
    Array.from({ length: checkpoint.config.layers }, async (_, layer) =>
      Object.fromEntries(
        await Promise.all(LINEARS.map(async (linear) => [linear, await own.of(layer, linear)] as const)),
      ),
    ),
  );
  const first = layers[0]?.up;
  assert.ok(first && 'zero' in first);
  first.zero[3] = -40;
  const rounded = { read: (layer: number) => layers[layer] as never };
  const { Network } = await import('../../src/engine/network/network.ts');
  const other = new Network(cache, checkpoint, { ...network.options, maps: {}, rounded });
  other.setMaps({});
  await rejectsWith(
    () => written(t, cache, other, settingsOf('compressed-tensors')),
    'export/zero-point',
    /layers\.0\.mlp\.up_proj has a zero point of -40, outside of its codes -8 … 7/,
  );
});
