/** This file reads the sound parts of an experiment while some of its values are at fault. */
import type { z } from 'zod';
import type { JsonPath } from './faults.ts';
import { mayBeText, schemaAt } from './json-schema.ts';
import { type Experiment, experimentSchema } from './schema.ts';

/** A rule has read a value that is at fault. */
class AtFault extends Error {}

export class SoundParts {
  /** The outermost paths of values that do not fit the schema or are missing. */
  readonly atFault: readonly JsonPath[];
  /** True where nothing is at fault or hidden. */
  readonly whole: boolean;
  readonly #experiment: Experiment;

  /**
   * @param value the value as written, with only keys that the schema knows.
   * @param unsure paths whose values (or absence) cannot be trusted.
   */
  constructor(value: unknown, unsure: readonly JsonPath[]) {
    const atFault: JsonPath[] = [];
    const replacedBefore = new Set<string>();
    let sound = structuredClone(value);
    for (;;) {
      const result = experimentSchema.safeParse(sound);
      if (result.success) {
        this.#experiment = result.data;
        break;
      }
      for (const path of result.error.issues.flatMap(placesOfIssue)) {
        // The replacement of a value at fault may itself lack something; the fault found first still counts.
        if (!atFault.some((other) => isWithin(path, other))) atFault.push(path);
        sound = replaced(sound, outermostNew(path, replacedBefore));
      }
    }
    this.atFault = atFault;
    this.whole = atFault.length === 0 && unsure.length === 0;
    for (const path of [...atFault, ...unsure]) this.#experiment = hidden(this.#experiment, path);
  }

  /** Returns the result of `read` on the experiment; undefined when it needs a value that is at fault. */
  ask<T>(read: (experiment: Experiment) => T): T | undefined {
    try {
      return read(this.#experiment);
    } catch (error) {
      if (error instanceof AtFault) return undefined;
      throw error;
    }
  }
}

function isWithin(path: JsonPath, around: JsonPath): boolean {
  return around.every((part, depth) => path[depth] === part);
}

/** A value may be of several kinds. If one of the kinds fits from outside, the fault lies inside it. */
function placesOfIssue(issue: z.core.$ZodIssue): JsonPath[] {
  const path = issue.path as JsonPath;
  if (issue.code !== 'invalid_union') return [path];
  const inside = issue.errors.find(
    (errors) => errors.length > 0 && errors.every((one) => one.path.length > 0),
  );
  return inside?.flatMap(placesOfIssue).map((one) => [...path, ...one]) ?? [path];
}

/** A replacement that does not fit either, as a text that a pattern refuses, gives way to one around it: this ends. */
function outermostNew(path: JsonPath, replacedBefore: Set<string>): JsonPath {
  for (let length = path.length; length > 0; length--) {
    const tried = path.slice(0, length);
    const key = JSON.stringify(tried);
    if (replacedBefore.has(key)) continue;
    replacedBefore.add(key);
    return tried;
  }
  // All is replaced by nothing, from which the next replacements start anew.
  replacedBefore.clear();
  return [];
}

/** Replaces the value at fault by its default or by something that fits. */
function replaced(root: unknown, path: JsonPath): unknown {
  const name = path.at(-1);
  if (name === undefined) return {};
  let around = root as Record<string | number, unknown>;
  for (const part of path.slice(0, -1)) {
    const inside = around[part];
    if (typeof inside !== 'object' || inside === null) return root; // It was replaced as a whole.
    around = inside as Record<string | number, unknown>;
  }
  const schema = schemaAt(path);
  if (schema?.enum && schema.default === undefined) around[name] = schema.enum[0];
  else if (mayBeText(schema) && schema?.default === undefined) around[name] = '?';
  else if (Array.isArray(around)) around[name] = {};
  else delete around[name];
  return root;
}

/** Makes every later read at the path throw {@link AtFault}. */
function hidden(experiment: Experiment, path: JsonPath): Experiment {
  const get = () => {
    throw new AtFault();
  };
  const name = path.at(-1);
  if (name === undefined) return new Proxy(experiment, { get });
  let around: unknown = experiment;
  for (const part of path.slice(0, -1)) {
    const inside = Object.getOwnPropertyDescriptor(around, part)?.value as unknown;
    if (typeof inside !== 'object' || inside === null) return experiment; // It is already hidden as a whole.
    around = inside;
  }
  Object.defineProperty(around, name, { get, enumerable: true, configurable: true });
  return experiment;
}
