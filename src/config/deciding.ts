/** This file has the only list of settings that do not decide a result. */
import { type Difference, experimentDifferences } from './differences.ts';
import { portableExperiment, type ResolvedExperiment } from './resolve.ts';

/** These sections only name what is measured afterwards and the folder of runs. */
const AFTERWARDS: readonly string[] = ['evaluation', 'runs', '$schema', 'matrix'];
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
  return experimentDifferences(portableExperiment(then), portableExperiment(now)).filter(({ path }) =>
    isDeciding(path, bits),
  );
}

/**
 * Returns true for a setting that decides what is learned.
 * @param path dotted: `rotation.seed`.
 */
export function isDeciding(path: string, bits: 'same' | 'any'): boolean {
  const ignored = bits === 'same' ? AFTERWARDS : [...AFTERWARDS, ...COMPUTES];
  return !ignored.includes(path.split('.')[0] ?? path);
}
