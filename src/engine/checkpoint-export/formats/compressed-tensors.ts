import { readdirSync } from 'node:fs';
import { packRowsInt32, wordsOf } from '../../../formats/pack-int32.ts';
import { writeModelWeights } from '../../../formats/safetensors-shards.ts';
import { LINEARS, type Linear } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import { type DType, type HostTensor, int64 } from '../../../protocol/tensor.ts';
import type { ActivationQuantizer } from '../../graph/fused/fake-quantize.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import { expectedLayerTensors } from '../../model/weights.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import type { GridMatrix } from '../../network/rounded-weights.ts';
import type { SeamMaps } from '../../network/seams.ts';
import { packedRows } from '../compressed-rows.ts';
import { floats } from '../floats.ts';
import type { CheckpointFormat, CheckpointToWrite } from '../format.ts';
import { type LazyTensors, linearTensor, tensorsAround } from '../merged-tensors.ts';
import { MergedWeights } from '../merged-weights.ts';
import { writeModelFiles } from '../model-files.ts';
import { nothingElseRounded, weightsRoundedAlone } from '../network-forms.ts';
import { PackedWeights } from '../packed-reader.ts';
import { isSylvester, moduleName, quantizationConfig, transformName } from '../quantization-config.ts';
import { type PlacedMap, runTimeMaps, scaledMatrix, widthOf } from '../run-time-maps.ts';

interface Writing {
  readonly weights: MergedWeights;
  readonly dtype: 'bfloat16' | 'float16' | 'float32';
  readonly signal?: AbortSignal | undefined;
}

/** A linear layer in its codes, or as numbers where it has 16 bits. */
function linearTensors(writing: Writing, layer: number, linear: Linear): LazyTensors {
  const { weights, dtype, signal } = writing;
  const { network } = weights;
  const quantizer = weightQuantizer(linear, network.quantizers(layer));
  const { bits, symmetric } = quantizer;
  if (bits >= 16) return linearTensor(writing, layer, linear, true);
  const [rows = 0, columns = 0] = expectedLayerTensors(network.checkpoint.config).get(linear)?.dims ?? [];
  const groups = quantizer.group === 0 ? 1 : columns / quantizer.group;
  const what = moduleName(layer, linear);
  const grid = async (): Promise<GridMatrix> => {
    const matrix = await weights.of(layer, linear, signal);
    if ('values' in matrix) throw new Error(`${what} is on no grid`);
    return matrix;
  };
  const lazily = (
    name: string,
    dtypeOf: DType,
    dims: number[],
    make: (matrix: GridMatrix) => HostTensor,
  ) => ({
    [`${what}.${name}`]: {
      kind: 'lazy',
      dtype: dtypeOf,
      dims,
      load: async () => make(await grid()),
    } as const,
  });
  const packed = [rows, wordsOf(columns, bits)];
  const zeros = [wordsOf(rows, bits), groups];
  return {
    ...lazily('weight_packed', 'int32', packed, ({ codes }) =>
      int32(packed, packRowsInt32(codes, rows, bits)),
    ),
    ...lazily('weight_scale', dtype, [rows, groups], ({ scale }) =>
      floats(dtype, [rows, groups], scale, what),
    ),
    ...lazily('weight_shape', 'int64', [2], () =>
      int64([2], BigInt64Array.of(BigInt(rows), BigInt(columns))),
    ),
    ...(!symmetric &&
      lazily('weight_zero_point', 'int32', zeros, ({ zero }) =>
        int32(zeros, packedZeros(zero, rows, bits, what)),
      )),
  };
}

const int32 = (dims: number[], data: Int32Array): HostTensor => ({
  kind: 'host',
  dtype: 'int32',
  dims,
  data,
});

/** Zero points [rows, groups] packed along the rows, [⌈rows·bits/32⌉, groups]. */
function packedZeros(zero: Float32Array, rows: number, bits: number, what: string): Int32Array {
  const groups = zero.length / rows;
  const [least, most] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const outside = zero.find((each) => !Number.isInteger(each) || each < least || each > most);
  if (outside !== undefined)
    throw new UserError(
      'export/zero-point',
      `${what} has a zero point of ${outside}, outside of its codes ${least} … ${most}: a group of its weights lies far from 0.`,
      'Make a run with symmetric weights, or with one scale per row.',
    );
  const columnsFirst = new Int8Array(zero.length);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++)
      columnsFirst[group * rows + row] = zero[row * groups + group]!;
  const packed = packRowsInt32(columnsFirst, groups, bits);
  const words = wordsOf(rows, bits);
  return Int32Array.from(
    { length: packed.length },
    (_, i) => packed[(i % groups) * words + Math.floor(i / groups)]!,
  );
}

/** The matrices of maps at run time, in every layer. Entries ±1 are exact in any type, roots in float32. */
function transformTensors({ weights, dtype }: Writing, placed: readonly PlacedMap[]): LazyTensors {
  const { config } = weights.network.checkpoint;
  const tensors: LazyTensors = {};
  for (const map of placed) {
    const n = widthOf(map.map, config);
    const own = map.map.kind === 'hadamard' ? dtype : 'float32';
    for (let layer = 0; layer < config.layers; layer++) {
      const name = transformName(map, layer);
      const load = (): HostTensor => floats(own, [n, n], scaledMatrix(map.map, config), name);
      tensors[name] = { kind: 'lazy', dtype: own, dims: [n, n], load };
    }
  }
  return tensors;
}

export const format: CheckpointFormat = {
  rows: packedRows,

  computed(run) {
    const there = (own: ActivationQuantizer): ActivationQuantizer => ({
      ...own,
      ...(own.symmetric && { fullRange: true }),
      ...{ clipRatio: 1, includeZero: true },
    });
    const { input, gateUpInput, outputInput, downInput } = run;
    return {
      ...nothingElseRounded(run),
      input: there(input),
      ...(gateUpInput && { gateUpInput: there(gateUpInput) }),
      outputInput: there(outputInput),
      downInput: there(downInput),
    };
  },

  async write(folder, { cache, network, settings: { dtype } }: CheckpointToWrite, signal) {
    const weights = new MergedWeights(cache, network, 'rounded');
    const writing = { weights, dtype, signal };
    const { config, dir } = network.checkpoint;
    const placed = runTimeMaps(network.options.maps);
    const linears = Array.from({ length: config.layers }, (_, layer) =>
      LINEARS.map((linear) => linearTensors(writing, layer, linear)),
    );
    const tensors = Object.assign(
      tensorsAround(writing),
      transformTensors(writing, placed),
      ...linears.flat(),
    );
    await writeModelWeights(folder, tensors);
    const shards = readdirSync(folder);
    const quantization_config = quantizationConfig(network.options, config, placed);
    return [...(await writeModelFiles(folder, dir, dtype, { quantization_config })), ...shards];
  },

  async readBack(folder, { cache, network }) {
    return weightsRoundedAlone(cache, network, new PackedWeights(folder, network));
  },

  usage: ({ maps, quantizers }) => [
    '```sh',
    'vllm serve FOLDER',
    '```',
    '',
    ...(isPacked(quantizers.weights) ? REFUSED_BY_TRANSFORMERS : inTransformers(maps)),
  ],
};

/** Zero points are packed, as vLLM reads them. */
const isPacked = ({ bits, symmetric }: WeightQuantizer): boolean => bits < 16 && !symmetric;

const REFUSED_BY_TRANSFORMERS = [
  'transformers (5.24) refuses this folder: its weights have zero points, which it expects unpacked. For transformers, export a run with symmetric weights, or as `huggingface`.',
];

function inTransformers(maps: SeamMaps): string[] {
  return [
    'In Python, with transformers and compressed-tensors:',
    '',
    '```python',
    'from transformers import AutoModelForCausalLM, AutoTokenizer',
    '',
    'model = AutoModelForCausalLM.from_pretrained("FOLDER", dtype="auto")',
    ...(runTimeMaps(maps).length > 0 ? transformersTransforms(runTimeMaps(maps)) : []),
    'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
    '```',
  ];
}

/** transformers reads no `transform_config` by itself: without these lines the model writes nonsense. */
function transformersTransforms(placed: readonly PlacedMap[]): string[] {
  return [
    '',
    '# transformers (5.24) does not apply transform_config by itself, and the text is nonsense without it.',
    'import json',
    'from compressed_tensors.transform import TransformConfig, apply_transform_config',
    '',
    'config = json.load(open("FOLDER/config.json"))["quantization_config"]["transform_config"]',
    'apply_transform_config(model, TransformConfig.model_validate(config))',
    ...(placed.every(isSylvester)
      ? []
      : [
          'from pathlib import Path',
          'from safetensors import safe_open',
          '',
          'for path in Path("FOLDER").glob("*.safetensors"):',
          '    with safe_open(path, "pt") as file:',
          '        for name in file.keys():',
          '            if name.endswith("_input.weight"):  # the matrices of the folder, not drawn ones',
          '                model.get_parameter(name).data = file.get_tensor(name).float()',
        ]),
    '',
  ];
}
