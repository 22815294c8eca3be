/** This file has the only list of settings that do not decide a result. */

import { type Difference, experimentDifferences } from './differences.ts';
import { withoutChosen } from './exceptions.ts';
import { portableExperiment, type ResolvedExperiment } from './resolve.ts';

/** These sections only name what is measured afterwards, the folder of runs and who computes. */
const AFTERWARDS: readonly string[] = ['evaluation', 'runs', '$schema', 'matrix', 'cluster'];
/** These keys name what computes: the function is the same, its last bits differ. */
const COMPUTES: readonly string[] = ['device', 'threads', 'memoryLimit'];

/**
 * Returns the settings in which two experiments differ and that decide what is learned.
 * @param bits `same` also counts what computes, which a resumed run needs; `any` does not.
 */
export function decidingDifferences(
  then: ResolvedExperiment,
  now: ResolvedExperiment,
  bits: 'same' | 'any',
): Difference[] {
  const quantization = withoutChosen(then.quantization, now.quantization);
  const compared = { ...then, quantization };
  return experimentDifferences(portableExperiment(compared), portableExperiment(now)).filter(
    (difference) => isDeciding(difference.path, bits) && !isFormerDefault(difference, bits),
  );
}

/**
 * Defaults that have changed, by path: what they were, and what it is. An experiment that leaves such a setting out is still
 * that of its older runs, which go on with what they began with.
 */
const FORMER_DEFAULTS: Readonly<Record<string, readonly [were: readonly unknown[], is: unknown]>> = {
  'rotation.learning.precision': [['bfloat16x2', 'bfloat16'], 'bfloat16-all'],
};
/** The same of what also decides what is measured: numbers of the new default are no numbers of such a run. */
const FORMER_DEFAULTS_OF_RESUMED: typeof FORMER_DEFAULTS = {
  'quantization.keys.offset': [['bias'], 'auto'],
};

function isFormerDefault({ path, a, b }: Difference, bits: 'same' | 'any'): boolean {
  const former = bits === 'same' ? { ...FORMER_DEFAULTS, ...FORMER_DEFAULTS_OF_RESUMED } : FORMER_DEFAULTS;
  const [were, is] = former[path] ?? [];
  return b === is && (were?.includes(a) ?? false);
}

/**
 * Returns true for a setting that decides what is learned.
 * @param path dotted: `rotation.seed`.
 */
export function isDeciding(path: string, bits: 'same' | 'any'): boolean {
  const ignored = bits === 'same' ? AFTERWARDS : [...AFTERWARDS, ...COMPUTES];
  return !ignored.includes(path.split('.')[0] ?? path);
}
