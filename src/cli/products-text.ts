import type { EvaluateResult } from '../engine/index.ts';

type Products = NonNullable<EvaluateResult['products']>;

/** `Multiplied in whole numbers (integer matmul): q, k, v, o, gate, up, down.`, or `… none. In float32: q, …, as weights have 16 bits.` */
export function productsText({ integer, others }: Products): string {
  const whole = integer.length === 0 ? 'none' : integer.join(', ');
  const rest = others.map(({ linears, reason }) => `${linears.join(', ')}, as ${reason}`);
  const simulated = rest.length === 0 ? '' : ` In float32: ${rest.join('; ')}.`;
  return `Multiplied in whole numbers (integer matmul): ${whole}.${simulated}`;
}
