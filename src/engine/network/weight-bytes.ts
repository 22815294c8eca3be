/** Bytes of a network's weights in the forms in which it reads them. */
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { BYTES_PER_ELEMENT, elementCount } from '../../protocol/tensor.ts';
import { packedDims } from '../graph/fused/int4-matmul.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { LayerShape } from './layer-shape.ts';
import { type NetworkQuantizers, quantizersOfLayers } from './network-quantizers.ts';
import { hasCodesBeside, isCodes, isPacked, packedPartsOf } from './packed-weights.ts';

/** What decides the form of a layer's weights. */
type Form = Pick<LayerShape, 'weightForm' | 'quantizers' | 'config'>;

/** The same of all layers. */
type NetworkForm = Pick<LayerShape, 'weightForm' | 'config'> & NetworkQuantizers;

const FLOAT = BYTES_PER_ELEMENT.float32;

/** Bytes of a prepared weight [rows, columns]. */
function preparedBytesOf(linear: Linear, [rows = 0, columns = 0]: readonly number[], form: Form): number {
  if (isPacked(linear, form)) {
    const { bytes, grid } = packedDims(rows, columns, packedPartsOf(linear, columns, form.quantizers));
    const packed = elementCount(bytes) + elementCount(grid) * FLOAT;
    if (hasCodesBeside(linear, form)) return packed + rows * columns + rows * FLOAT;
    return form.weightForm === 'packed' ? packed : packed + rows * columns * FLOAT;
  }
  if (!isCodes(linear, form)) return rows * columns * FLOAT;
  return rows * columns * BYTES_PER_ELEMENT.bfloat16 + rows * FLOAT;
}

/** Bytes of the prepared weights of all layers. */
export function preparedWeightBytes(
  { config, layer }: Pick<Checkpoint, 'config' | 'layer'>,
  form: NetworkForm,
): number {
  const own = layer(0);
  const ofLayers = quantizersOfLayers(form, config.layers).flatMap((quantizers) =>
    LINEARS.map((linear) => preparedBytesOf(linear, own[linear].dims, { ...form, quantizers })),
  );
  return ofLayers.reduce((sum, count) => sum + count, 0);
}

/** True where products take the weights of all layers as they are stored. */
export function storesFloat32({ config, layer }: Pick<Checkpoint, 'config' | 'layer'>): boolean {
  const layers = Array.from({ length: config.layers }, (_, index) => layer(index));
  return layers.every((own) => LINEARS.every((linear) => own[linear].dtype === 'float32'));
}

/**
 * Bytes of all weights: those of the linear layers as they are prepared, all others as they are stored.
 * @param form null for a network that reads all of them as they are stored.
 */
export function weightBytes(checkpoint: Checkpoint, form: NetworkForm | null): number {
  if (form === null) return checkpoint.sizeBytes;
  const layers = Array.from({ length: checkpoint.config.layers }, (_, index) => checkpoint.layer(index));
  const stored = layers.flatMap((layer) => LINEARS.map((linear) => layer[linear]));
  const replaced = stored.reduce(
    (sum, { dtype, dims }) => sum + elementCount(dims) * BYTES_PER_ELEMENT[dtype],
    0,
  );
  return checkpoint.sizeBytes - replaced + preparedWeightBytes(checkpoint, form);
}
