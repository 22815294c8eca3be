import type { Experiment } from './schema.ts';

export interface Difference {
  /** Dotted path of the key: `rotation.seed`, `evaluation.perplexity.0.name`. */
  readonly path: string;
  readonly a: unknown;
  readonly b: unknown;
}

/** Returns the keys in which two experiments differ, in the order of the schema; none for equal experiments. */
export function experimentDifferences(a: Experiment, b: Experiment): Difference[] {
  const differences: Difference[] = [];
  collect(a, b, '', differences);
  return differences;
}

function collect(a: unknown, b: unknown, path: string, differences: Difference[]): void {
  if (!isContainer(a) || !isContainer(b)) {
    if (a !== b) differences.push({ path, a, b });
    return;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
    collect(a[key], b[key], path ? `${path}.${key}` : key, differences);
}

function isContainer(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
