/** Which settings decide a result: the one list of those that do not. */
import { type Difference, experimentDifferences } from './differences.ts';
import { portableExperiment, type ResolvedExperiment } from './resolve.ts';

/** Sections that only say what is measured afterwards, and where runs lie. */
const AFTERWARDS: readonly string[] = ['evaluation', 'runs', '$schema'];
/** Keys that say what computes: the same function, to other bits. */
const COMPUTES: readonly string[] = ['device', 'threads'];

/**
 * Settings in which two experiments differ and that decide what is learned.
 * @param bits `same` also counts what computes, as a run that goes on must; `any` does not.
 */
export function decidingDifferences(
  then: ResolvedExperiment,
  now: ResolvedExperiment,
  bits: 'same' | 'any',
): Difference[] {
  const ignored = bits === 'same' ? AFTERWARDS : [...AFTERWARDS, ...COMPUTES];
  return experimentDifferences(portableExperiment(then), portableExperiment(now)).filter(
    ({ path }) => !ignored.includes(path.split('.')[0] ?? path),
  );
}
