/** What any target does with the parts of a run, in words. */
import { isDeepStrictEqual } from 'node:util';
import type { Linear } from '../../protocol/block.ts';
import type { TargetRow } from '../../protocol/export-plan.ts';
import { formatCount } from '../../protocol/text.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import { distinctQuantizers } from '../network/network-quantizers.ts';
import { readBy } from '../network/packed-weights.ts';
import { isFixed, seamsIn, symbolOf } from '../network/seams.ts';
import type { ExportQuestion } from './format.ts';

/** Rotations and scales that are merged into the weights of any target. */
export function mergedRow({ maps }: ExportQuestion): TargetRow {
  const merged = seamsIn(maps).flatMap((seam) => {
    const map = maps[seam];
    if (!map || isFixed(map) || map.kind === 'kronecker') return [];
    if (seam === 'query-key' && map.kind !== 'diagonal') return [];
    return [symbolOf(seam, map)];
  });
  const names = [...new Set(merged), 'gains of norms'].join(', ');
  const there = 'in the weights; the output layer has a table of its own';
  return { part: 'rotations', run: names, verdict: 'merged', there };
}

/** Products of Kronecker, which are computed at run time. @param there what the target does; null where it has no place. */
export function kroneckerRows({ maps }: ExportQuestion, there: string | null = null): TargetRow[] {
  if (seamsIn(maps).every((seam) => maps[seam]?.kind !== 'kronecker')) return [];
  const row = { part: 'maps', run: 'P₁ ⊗ P₂ in front of q/k/v, gate/up and down, at run time' };
  if (there !== null) return [{ ...row, verdict: 'kept', there }];
  const hint = 'Export an ONNX folder, which computes them, or make a run with scaling.method "none".';
  return [{ ...row, verdict: 'refused', there: 'it computes nothing in front of them', hint }];
}

/** The quantizer of weights in words. */
export function weightsInWords({ quantizers: { weights }, exceptions, method }: ExportQuestion): string {
  if (weights.bits >= 16) return '16 bits, not rounded';
  const grid = weights.group === 0 ? 'one scale a row' : `groups of ${weights.group}`;
  const sides = weights.symmetric ? 'symmetric' : 'asymmetric';
  return `${weights.bits} bits by ${method}, ${sides}, ${grid}${exceptions ? ', with exceptions' : ''}`;
}

function isClipped({ clipRatio, lowerRatio = clipRatio }: ActivationQuantizer): boolean {
  return clipRatio !== 1 || lowerRatio !== 1;
}

function activationInWords(quantizer: ActivationQuantizer): string {
  const { bits, symmetric, fullRange, group, clipRatio, lowerRatio = clipRatio } = quantizer;
  if (bits >= 16) return '16 bits';
  const ratios = lowerRatio === clipRatio ? `${clipRatio}` : `${clipRatio} above and ${lowerRatio} below`;
  const clip = isClipped(quantizer) ? `, clipped to ${ratios}` : '';
  const sides = symmetric ? `symmetric${fullRange ? ' of the full range' : ''}` : 'asymmetric';
  return `${bits} bits, ${sides}, ${group === 0 ? 'a scale per token' : `groups of ${group}`}${clip}`;
}

export const ACTIVATION_READERS: readonly Linear[] = ['q', 'o', 'gate', 'down'];

export function activationsInWords(question: ExportQuestion): string {
  const first = inputsInWords(question.quantizers);
  const isMixed = distinctQuantizers(question).some((each) => inputsInWords(each) !== first);
  const clips = question.siteClips?.activations ? ['a clip ratio for each site'] : [];
  return [first, ...clips, ...(isMixed ? ['with exceptions'] : [])].join(', ');
}

function inputsInWords(quantizers: LayerQuantizers): string {
  const inputs = new Map<string, Linear[]>();
  for (const linear of ACTIVATION_READERS) {
    const words = activationInWords(readBy(linear, quantizers));
    inputs.set(words, [...(inputs.get(words) ?? []), linear]);
  }
  const [[first = ''] = [], ...others] = [...inputs];
  return [first, ...others.map(([words, linears]) => `${linears.join(', ')}: ${words}`)].join('; ');
}

/** True where an end of the range of some input is cut. */
export const clipsActivations = (question: ExportQuestion): boolean =>
  question.siteClips?.activations === true ||
  distinctQuantizers(question).some((each) =>
    ACTIVATION_READERS.some((linear) => {
      const quantizer = readBy(linear, each);
      return quantizer.bits < 16 && isClipped(quantizer);
    }),
  );

export const roundsActivations = ({ quantizers }: ExportQuestion): boolean =>
  ACTIVATION_READERS.some((linear) => readBy(linear, quantizers).bits < 16);

/** Their bits, what is taken out of keys, and what layers or first tokens have besides. */
function cacheInWords(question: ExportQuestion): string {
  const { keys, values, keyOffset, wholeTokens }: LayerQuantizers = question.quantizers;
  const { siteClips } = question;
  const ofCache = (each: LayerQuantizers) => [each.keys, each.values];
  const isMixed = distinctQuantizers(question).some(
    (each) => !isDeepStrictEqual(ofCache(each), ofCache(question.quantizers)),
  );
  return [
    `${keys.bits} and ${values.bits} bits`,
    ...(keyOffset ? [`keys without their ${keyOffset}`] : []),
    ...(siteClips?.keys || siteClips?.values ? ['a clip ratio for each layer'] : []),
    ...(wholeTokens ? ['first tokens at 16 bits'] : []),
    ...(isMixed ? ['with exceptions'] : []),
  ].join(', ');
}

/** Keys and values, and the map that stands between RoPE and the cache. */
export function cacheRows(question: ExportQuestion, advice: string): TargetRow[] {
  const { quantizers, maps, config } = question;
  const { keys, values }: LayerQuantizers = quantizers;
  const map = maps['query-key'];
  const behind = map && map.kind !== 'diagonal' ? symbolOf('query-key', map) : null;
  const rows: TargetRow[] = [];
  if (behind !== null)
    rows.push({
      part: behind,
      run: `queries and keys of ${formatCount(config.headDim, 'channel')} turned behind RoPE`,
      verdict: 'left out',
      there: 'without rounding of keys it cancels in their products with queries',
    });
  if (keys.bits < 16 || values.bits < 16)
    rows.push({
      part: 'keys, values',
      run: cacheInWords(question),
      verdict: 'left out',
      there: `16 bits; ${advice}`,
    });
  return rows;
}
