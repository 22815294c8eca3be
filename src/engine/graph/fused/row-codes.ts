import { elementCount } from '../../../protocol/tensor.ts';
import { apply, intAttribute, type Node, type OpDefinition, type Value } from '../graph.ts';
import { mul } from '../ops/elementwise.ts';
import { cast, reshape } from '../ops/shape.ts';
import { type ActivationQuantizer, onGrid, quantizerAttributes } from './fake-quantize.ts';

/** FakeQuantize of whole rows [..., n], with their scales [...] as a second output; results are whole multiples. */
export const FakeQuantizeRows: OpDefinition = {
  name: 'FakeQuantizeRows',
  domain: 'spinquant',
  infer: ([x]) => [
    { dtype: x!.dtype, dims: x!.dims },
    { dtype: x!.dtype, dims: x!.dims.slice(0, -1) },
  ],
};

/** Returns the quantizer in a form that also outputs its rows' scales ({@link unitsOf}); null where it has none. */
export function quantizedRows({ op, attributes }: Node, inputs: readonly Value[]): Value[] | null {
  if (op.name !== 'FakeQuantize' || intAttribute(attributes, 'group') !== 0 || inputs[0]!.rank < 2)
    return null;
  // A range without zero has a zero point of any size; a row of one value would have no scale.
  const hasSmallCodes =
    intAttribute(attributes, 'symmetric') === 1 || intAttribute(attributes, 'include_zero') === 1;
  return hasSmallCodes ? inputs[0]!.graph.apply(FakeQuantizeRows, inputs, attributes).slice(0, 1) : null;
}

/** Returns a unit per row of the last axis: numbers are whole multiples, at most 256 times it. Null if unknown. */
export function unitsOf(value: Value): Value | null {
  const { node } = value;
  if (node?.op === FakeQuantizeRows) return node.outputs[1]!;
  return node?.op === RowMultiples ? node.inputs[1]! : null;
}

/** Quantizes rows to whole numbers of a byte: codes int8 [..., n] and scales [...]. */
export const QuantizeRows: OpDefinition = {
  name: 'QuantizeRows',
  domain: 'spinquant',
  infer: ([x]) => [
    { dtype: 'int8', dims: x!.dims },
    { dtype: x!.dtype, dims: x!.dims.slice(0, -1) },
  ],
  compose([x], attributes) {
    const width = x!.dim(-1);
    const { scale, multiples } = onGrid(reshape(x!, [elementCount(x!.dims) / width, width]), attributes);
    return [reshape(cast(multiples, 'int8'), x!.dims), reshape(scale, x!.dims.slice(0, -1))];
  },
};

/** Multiplies codes int8 [..., n] by scales [...]. */
export const RowMultiples: OpDefinition = {
  name: 'RowMultiples',
  domain: 'spinquant',
  infer: ([codes, scales]) => [{ dtype: scales!.dtype, dims: codes!.dims }],
  compose: ([codes, scales]) => [mul(reshape(scales!, [...scales!.dims, 1]), cast(codes!, scales!.dtype))],
};

/** Returns the codes and scales whose product the value is, or null. */
export function codesOf(value: Value): readonly [codes: Value, scales: Value] | null {
  return value.node?.op === RowMultiples ? (value.node.inputs as [Value, Value]) : null;
}

/** Multiplies codes by their scales; {@link codesOf} returns both. */
export const rowMultiples = (codes: Value, scales: Value): Value => apply(RowMultiples, [codes, scales]);

/** True where rows [..., n] can be quantized to {@link byteCodes}. */
export function hasByteCodes(
  { bits, symmetric, group, includeZero }: ActivationQuantizer,
  n: number,
): boolean {
  // Multiples q − z of a grid with a zero point reach 2^bits − 1 on either side.
  return (group === 0 || group === n) && (symmetric ? bits <= 8 : includeZero && bits <= 7);
}

/** Q(x), not differentiated; stored as 8-bit codes and scales, a quarter of the memory. */
export function byteCodes(
  x: Value,
  quantizer: ActivationQuantizer,
): Record<'codes' | 'scales' | 'rounded', Value> {
  const [codes, scales] = x.graph.apply(QuantizeRows, [x], quantizerAttributes(quantizer, 0)) as [
    Value,
    Value,
  ];
  return { codes, scales, rounded: rowMultiples(codes, scales) };
}
