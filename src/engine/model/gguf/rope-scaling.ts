import { UserError } from '../../../protocol/errors.ts';
import { type RopeScaling, type Yarn, yarnMagnitude } from '../config-rope.ts';
import { ropeFrequencies } from '../rope.ts';
import type { GgufFields } from './fields.ts';

/**
 * A frequency factor may differ from the file's by this share. Converters compute in float32, where θ^(−2j/headDim) is
 * off by up to ln θ · 2⁻²⁴ ≈ 1e-6. Where the blend is near 1/factor, this grows by the factor (8 or 32).
 */
const TOLERANCE = 1e-4;
/** Meta chose these for all Llama 3.x models. */
const LOW = 1;
const HIGH = 4;
const ORIGINAL_POSITIONS = 8192;

type Llama3 = Extract<RopeScaling, { type: 'llama3' }>;
type Linear = Extract<RopeScaling, { type: 'linear' }>;

/** The rules that a GGUF file can have. */
export type GgufRopeScaling = Linear | Llama3 | Yarn | null;

/** The rotary settings of a model, without its scaling. */
export interface RopeBase {
  readonly headDim: number;
  readonly ropeTheta: number;
}

/** A pair has a base frequency ω and keeps a share s of it: scaled frequency = ω (s + (1 − s)/factor). */
interface Pair {
  readonly frequency: number;
  readonly share: number;
}

/**
 * Reads the scaling of the rotary frequencies from `rope.scaling.*` (none, linear or yarn) or the tensor `rope_freqs.weight`.
 * The frequencies are divided by the tensor's numbers, from which the parameters of the Llama 3 rule are found.
 * @param factors values of `rope_freqs.weight` [headDim/2], or undefined.
 * @throws UserError `gguf/rope` for other rules.
 */
export function readRopeScaling(
  fields: GgufFields,
  architecture: string,
  base: RopeBase,
  factors: Float32Array | undefined,
): GgufRopeScaling {
  const prefix = `${architecture}.rope.scaling`;
  const type = fields.text(`${prefix}.type`) ?? 'none';
  // The key had this name before scaling had a type.
  const legacy = fields.positive(`${architecture}.rope.scale_linear`);
  const factor = type === 'linear' ? fields.positive(`${prefix}.factor`) : legacy;
  if (type === 'yarn' && factors === undefined) return readYarn(fields, architecture);
  if (type !== 'none' && type !== 'linear')
    throw new UserError(
      'gguf/rope',
      `${fields.path}: ${prefix}.type is ${JSON.stringify(type)}; supported are "none", "linear", "yarn" and the tensor rope_freqs.weight of Llama 3.`,
      'If the model was trained without scaling and only stretched for long contexts, convert it again without.',
    );
  const linear: Linear | null = factor === undefined || factor === 1 ? null : { type: 'linear', factor };
  const solved = factors && solveFrequencyFactors(base, factors);
  if (solved === undefined && factors) throw unsolved(fields.path);
  if (linear && solved)
    throw new UserError(
      'gguf/rope',
      `${fields.path} has both ${prefix}.factor and rope_freqs.weight; one of them is supported.`,
      'Convert the model again with a current version of llama.cpp.',
    );
  return solved ?? linear;
}

/** llama.cpp multiplies cosines and sines by 0.1 ln s + 1, and by a factor of the file, which is 1 where it is silent. */
function readYarn(fields: GgufFields, architecture: string): Yarn {
  const prefix = `${architecture}.rope.scaling`;
  const needed = (key: string): number => fields.positive(key) ?? fields.fail(key, 'a number above 0');
  const factor = needed(`${prefix}.factor`);
  const original = `${prefix}.original_context_length`;
  const magnitude = fields.positive(`${prefix}.attn_factor`) ?? fields.positive(`${prefix}.yarn_attn_factor`);
  return {
    type: 'yarn',
    factor,
    originalMaxPositions: fields.whole(original) || fields.count(`${architecture}.context_length`),
    betaFast: fields.positive(`${prefix}.yarn_beta_fast`) ?? 32,
    betaSlow: fields.positive(`${prefix}.yarn_beta_slow`) ?? 1,
    truncate: true,
    attentionFactor: (magnitude ?? 1) * yarnMagnitude(factor),
  };
}

function unsolved(path: string): UserError {
  return new UserError(
    'gguf/rope',
    `${path}: the frequency factors in rope_freqs.weight follow no rule that is supported (linear, Llama 3).`,
    'Use the Hugging Face folder that the GGUF file was made from.',
  );
}

/**
 * Finds the rule that gives these frequency factors and checks it on every pair; undefined when there is none.
 *
 * In Llama 3's rule, a pair makes t = L ω/2π turns in the original context of L tokens. Then
 * s = (t − low)/(high − low), cut to [0, 1]. Only L : low : high matters, so one of the three may be chosen.
 */
export function solveFrequencyFactors(
  base: RopeBase,
  factors: Float32Array,
): Linear | Llama3 | null | undefined {
  if (factors.length !== base.headDim / 2 || !factors.every((f) => Number.isFinite(f) && f > 0))
    return undefined;
  const factor = nearestSimple(factors.reduce((a, b) => Math.max(a, b)));
  if (factors.every((f) => Math.abs(f / factor - 1) <= TOLERANCE))
    return Math.abs(factor - 1) <= TOLERANCE ? null : { type: 'linear', factor };
  const frequencies = ropeFrequencies({ ...base, ropeScaling: null });
  const pairs = Array.from(frequencies, (frequency, j) => ({
    frequency,
    share: (1 / factors[j]! - 1 / factor) / (1 - 1 / factor),
  }));
  const candidates = [...standardRules(factor, pairs), ...freeRules(factor, pairs)];
  return candidates.find((rule) => gives(base, frequencies, rule, factors));
}

function gives(base: RopeBase, frequencies: Float64Array, rule: Llama3, factors: Float32Array): boolean {
  const scaled = ropeFrequencies({ ...base, ropeScaling: rule });
  return factors.every((f, j) => Math.abs(frequencies[j]! / scaled[j]! / f - 1) <= TOLERANCE);
}

function isBlended({ share }: Pair): boolean {
  return share > 1e-3 && share < 1 - 1e-3;
}

/** These rules have Meta's low and high. L comes from a blended pair, else from between the kept and divided ones. */
function standardRules(factor: number, pairs: readonly Pair[]): Llama3[] {
  const positions = (turns: number, { frequency }: Pair): number => (2 * Math.PI * turns) / frequency;
  const blended = pairs.filter(isBlended).map((pair) => positions(LOW + (HIGH - LOW) * pair.share, pair));
  const kept = pairs.filter(({ share }) => share >= 0.5).map((pair) => positions(HIGH, pair));
  const divided = pairs.filter(({ share }) => share < 0.5).map((pair) => positions(LOW, pair));
  const between = Math.sqrt(Math.max(...kept, 1) * Math.min(...divided));
  const found = blended.length > 0 ? blended : [between];
  return [ORIGINAL_POSITIONS, ...found.map(Math.round), ...found].map((length) => scaledTo(factor, length));
}

/** Returns the rule with Meta's low and high; the context need not be a whole number of tokens. */
function scaledTo(factor: number, length: number): Llama3 {
  if (Number.isInteger(length)) return rule(factor, LOW, HIGH, length);
  const ratio = ORIGINAL_POSITIONS / length;
  return rule(factor, LOW * ratio, HIGH * ratio, ORIGINAL_POSITIONS);
}

/** These rules have low and high free: s is a straight line over ω through two blended pairs. */
function freeRules(factor: number, pairs: readonly Pair[]): Llama3[] {
  const blended = pairs.filter(isBlended);
  const [first, last] = [blended[0], blended.at(-1)];
  if (!first || !last || first === last) return [];
  const slope = (first.share - last.share) / (first.frequency - last.frequency);
  const span = ORIGINAL_POSITIONS / (2 * Math.PI * slope);
  const low = -(last.share - slope * last.frequency) * span;
  return [rule(factor, low, low + span, ORIGINAL_POSITIONS)];
}

function rule(
  factor: number,
  lowFreqFactor: number,
  highFreqFactor: number,
  originalMaxPositions: number,
): Llama3 {
  return { type: 'llama3', factor, lowFreqFactor, highFreqFactor, originalMaxPositions };
}

/** Returns the whole number that float32 rounding has moved, or the number itself. */
function nearestSimple(value: number): number {
  const whole = Math.round(value);
  return Math.abs(value / whole - 1) <= TOLERANCE ? whole : value;
}
