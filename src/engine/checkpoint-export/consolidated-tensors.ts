/** Tensors of a consolidated checkpoint: codes as bytes, and their scales in float32. */
import type { LazyTensor } from '../../formats/safetensors-write.ts';
import { bytesOf, tableParts } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { pairByNeighbours } from '../model/rotary-rows.ts';
import { expectedLayerTensors } from '../model/weights.ts';
import { weightQuantizer } from '../network/layer-shape.ts';
import type { GridMatrix } from '../network/rounded-weights.ts';
import {
  EMBEDDINGS,
  LAST_NORM,
  linearName,
  NORMS,
  normName,
  OUTPUT,
  ROTARY_LINEARS,
} from './consolidated-names.ts';
import type { LazyTensors } from './merged-tensors.ts';
import type { MergedWeights } from './merged-weights.ts';

interface Writing {
  readonly weights: MergedWeights;
  readonly signal?: AbortSignal | undefined;
}

/** All tensors, layers in order. ExecuTorch takes the type of numbers from the first one, so that it is none of codes. */
export function consolidatedTensors(writing: Writing): LazyTensors {
  const { weights, signal } = writing;
  const { layers, hiddenSize } = weights.network.checkpoint.config;
  const ones = new Float32Array(hiddenSize).fill(1);
  return {
    [LAST_NORM]: numbers([hiddenSize], async () => ones),
    ...tableTensors(writing, EMBEDDINGS, (...part) => weights.embeddingRows(...part, signal)),
    ...Object.assign({}, ...Array.from({ length: layers }, (_, layer) => layerTensors(writing, layer))),
    ...tableTensors(writing, OUTPUT, (...part) => weights.headRows(...part, signal)),
  };
}

function numbers(dims: readonly number[], make: () => Promise<Float32Array>): LazyTensor {
  return { kind: 'lazy', dtype: 'float32', dims, load: async () => float32(dims, await make()) };
}

function bytes(dims: readonly number[], make: () => Promise<Int8Array>): LazyTensor {
  const load = async (): Promise<HostTensor> => ({ kind: 'host', dtype: 'int8', dims, data: await make() });
  return { kind: 'lazy', dtype: 'int8', dims, load };
}

function layerTensors(writing: Writing, layer: number): LazyTensors {
  const { weights } = writing;
  const { hiddenSize } = weights.network.checkpoint.config;
  const norms = NORMS.map((norm) => [
    normName(layer, norm),
    numbers([hiddenSize], async () => weights.gain(layer, norm)),
  ]);
  const linears = LINEARS.map((linear) => linearTensors(writing, layer, linear));
  return Object.assign(Object.fromEntries(norms), ...linears);
}

function linearTensors({ weights, signal }: Writing, layer: number, linear: Linear): LazyTensors {
  const { network } = weights;
  const { config } = network.checkpoint;
  const [rows = 0, columns = 0] = expectedLayerTensors(config).get(linear)?.dims ?? [];
  const groups = columns / weightQuantizer(linear, network.quantizers(layer)).group;
  const name = linearName(layer, linear);
  const grid = async (): Promise<GridMatrix> => {
    const matrix = await weights.of(layer, linear, signal);
    if ('values' in matrix) throw new Error(`${name} is on no grid`);
    return matrix;
  };
  const inPairs = (tensor: HostTensor): Uint8Array => {
    const own = bytesOf(tensor);
    return ROTARY_LINEARS.includes(linear) ? pairByNeighbours(own, rows, config.headDim) : own;
  };
  const codes = async (): Promise<Int8Array> => {
    const paired = inPairs({
      kind: 'host',
      dtype: 'int8',
      dims: [rows, columns],
      data: (await grid()).codes,
    });
    return new Int8Array(paired.buffer, paired.byteOffset, paired.length);
  };
  const scales = async (): Promise<Float32Array> => {
    const paired = inPairs(float32([rows, groups], (await grid()).scale));
    return new Float32Array(paired.buffer, paired.byteOffset, paired.length / 4);
  };
  return {
    [`${name}.weight`]: bytes([rows, columns], codes),
    [`${name}.scales`]: numbers([rows, groups], scales),
  };
}

type RowsOf = (first: number, count: number) => Promise<Float32Array>;

/** A table of tokens [V, d] at 8 bits, a symmetric scale per row: max|x| / 127. */
function tableTensors({ weights, signal }: Writing, name: string, rowsOf: RowsOf): LazyTensors {
  const { vocabSize, hiddenSize } = weights.network.checkpoint.config;
  const scale = new Float32Array(vocabSize);
  const codes = async (): Promise<Int8Array> => {
    const all = new Int8Array(vocabSize * hiddenSize);
    for (const { first, count } of tableParts(vocabSize)) {
      throwIfCancelled(signal);
      const part = bytesOfRows(await rowsOf(first, count), hiddenSize);
      all.set(part.codes, first * hiddenSize);
      scale.set(part.scale, first);
    }
    return all;
  };
  return {
    [`${name}.weight`]: bytes([vocabSize, hiddenSize], codes),
    // Written behind the codes, which fill it.
    [`${name}.scales`]: numbers([vocabSize, 1], async () => scale),
  };
}

const TOP = 127;

/** Rows [rows, columns] rounded to nearest, halves to even; a row of zeros has the scale 1. */
export function bytesOfRows(
  values: Float32Array,
  columns: number,
): { readonly codes: Int8Array; readonly scale: Float32Array } {
  const codes = new Int8Array(values.length);
  const scale = new Float32Array(values.length / columns);
  for (let row = 0; row < scale.length; row++) {
    const own = values.subarray(row * columns, (row + 1) * columns);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const step = largest === 0 ? 1 : Math.fround(largest / TOP);
    scale[row] = step;
    for (const [i, value] of own.entries()) {
      const code = nearestEven(Math.fround(value / step));
      codes[row * columns + i] = Math.max(-TOP, Math.min(TOP, code));
    }
  }
  return { codes, scale };
}

function nearestEven(value: number): number {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 !== 0 ? near - 1 : near;
}
