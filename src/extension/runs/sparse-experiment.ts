/** An experiment as a person writes it: without what is at its default. Knows nothing of the editor. */
import type { Experiment } from '../../config/index.ts';
import { isObject } from '../../protocol/object.ts';

interface Schema {
  parse(value: unknown): Experiment;
}

/**
 * Leaves out the keys whose defaults give the same experiment, one after the other: some defaults follow other keys.
 * @returns plain values to be written.
 */
export function sparseExperiment(experiment: Experiment, schema: Schema): Record<string, unknown> {
  const whole = JSON.stringify(schema.parse(experiment));
  const sparse = structuredClone(experiment) as unknown as Record<string, unknown>; // It holds JSON values only.
  const same = (): boolean => {
    try {
      return JSON.stringify(schema.parse(sparse)) === whole;
    } catch {
      return false; // A key that is needed.
    }
  };
  prune(sparse, same);
  return sparse;
}

function prune(section: Record<string, unknown>, same: () => boolean): void {
  for (const [key, value] of Object.entries(section)) {
    const order = Object.entries(section);
    delete section[key];
    if (same()) continue;
    for (const other of Object.keys(section)) delete section[other];
    // Put back in its place: people read the order of the schema.
    for (const [name, kept] of order) section[name] = kept;
    for (const inner of Array.isArray(value) ? value : [value]) if (isObject(inner)) prune(inner, same);
  }
}
