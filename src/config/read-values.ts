/** This file reads the values that the schema knows from the tree of a JSON text, each with its place in the text. */

import { getNodeValue, type Node } from 'jsonc-parser';
import { isObject } from '../protocol/object.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import {
  arrayOf,
  experimentJsonSchema,
  type JsonSchema,
  objectOf,
  placesOf,
  schemaAt,
} from './json-schema.ts';
import { nearestName } from './nearest.ts';

/** A value's node and its path as written. */
interface Place {
  readonly node: Node;
  readonly written: JsonPath;
}

/** A fault of a key; `node` is that key. */
export interface KeyFault extends RuleFault {
  readonly node: Node;
}

interface Misplaced extends Place {
  readonly target: JsonPath;
}

/** Of two values of the same key, this one counts. */
export type Pick = 'first' | 'last';

/**
 * The values of an experiment's text at the paths of the schema. A misspelt key counts under the nearest name, a
 * misplaced one at the only place where it belongs. So faults inside are found together with the key.
 */
export class Values {
  /** The value for the schema to check. It holds only keys that the schema knows. */
  readonly root: unknown;
  readonly faults: KeyFault[] = [];
  readonly #pick: Pick;
  readonly #places = new Map<string, Place>();
  readonly #misplaced: Misplaced[] = [];

  constructor(tree: Node, pick: Pick) {
    this.#pick = pick;
    this.root = this.#read(tree, experimentJsonSchema(), [], []);
    for (const misplaced of this.#misplaced) this.#move(misplaced);
  }

  /** Returns the node of the value at a path of the schema, or undefined where nothing is written. */
  nodeAt(path: JsonPath): Node | undefined {
    return this.#places.get(JSON.stringify(path))?.node;
  }

  /** Converts a path of the schema to the path in the text: the same unless a key is misspelt or misplaced. */
  writtenPath(path: JsonPath): JsonPath {
    for (let depth = path.length; depth > 0; depth--) {
      const place = this.#places.get(JSON.stringify(path.slice(0, depth)));
      if (place) return [...place.written, ...path.slice(depth)];
    }
    return path;
  }

  /** Yields the paths of the schema at which something is written, each with its node. */
  *all(): Generator<readonly [JsonPath, Node]> {
    for (const [key, { node }] of this.#places) yield [JSON.parse(key) as JsonPath, node];
  }

  #read(node: Node, schema: JsonSchema | undefined, path: JsonPath, written: JsonPath): unknown {
    this.#places.set(JSON.stringify(path), { node, written });
    const children = node.children ?? [];
    if (node.type === 'array') {
      const items = arrayOf(schema)?.items;
      return children.map((child, index) => this.#read(child, items, [...path, index], [...written, index]));
    }
    if (node.type !== 'object') return getNodeValue(node) as unknown;
    const value: Record<string, unknown> = {};
    const properties = objectOf(schema)?.properties;
    if (properties)
      for (const [name, place] of this.#chosen(node, Object.keys(properties), written))
        value[name] = this.#read(place.node, properties[name], [...path, name], place.written);
    return value;
  }

  /** Chooses the values of an object that count, by names of the schema. Faults of its keys go to `faults`. */
  #chosen(node: Node, names: readonly string[], around: JsonPath): Map<string, Place> {
    const chosen = new Map<string, Place>();
    const properties = (node.children ?? []).map(({ children = [] }) => children);
    const present = new Set(properties.map(([key]) => String(key?.value)));
    const seen = new Set<string>();
    for (const [key, child] of properties) {
      if (!key) continue;
      const name = String(key.value);
      const written = [...around, name];
      const isKnown = names.includes(name);
      if (seen.has(name)) this.faults.push({ ...writtenTwice(written), node: key });
      else if (!isKnown) this.faults.push({ ...unknownKey(written, names), node: key });
      seen.add(name);
      if (!child) continue;
      const target = isKnown ? name : nearestName(name, names);
      if (target === null) this.#keepForItsPlace(name, child, written);
      else if (!isKnown && present.has(target)) continue;
      else if (this.#pick === 'last' || !chosen.has(target)) chosen.set(target, { node: child, written });
    }
    return chosen;
  }

  #keepForItsPlace(name: string, node: Node, written: JsonPath): void {
    const [place, ...others] = placesOf(name);
    if (place !== undefined && others.length === 0)
      this.#misplaced.push({ node, written, target: place.split('.') });
  }

  /** Moves a misplaced value, unless its place is taken or lies in something that is not an object. */
  #move({ node, written, target }: Misplaced): void {
    let around: unknown = this.root;
    for (const part of target.slice(0, -1)) {
      if (!isObject(around)) return;
      around[part] ??= {};
      around = around[part];
    }
    const name = String(target.at(-1));
    if (!isObject(around) || Object.hasOwn(around, name)) return;
    around[name] = this.#read(node, schemaAt(target), target, written);
  }
}

function writtenTwice(path: JsonPath): RuleFault {
  return {
    severity: 'error',
    code: 'config/duplicate-key',
    path,
    message: `${formatPath(path)} is written twice.`,
    hint: 'Keep one of the two.',
  };
}

function unknownKey(path: JsonPath, names: readonly string[]): RuleFault {
  const key = String(path.at(-1));
  const nearest = nearestName(key, names);
  const elsewhere = placesOf(key);
  const hint = nearest
    ? `Did you mean "${nearest}"?`
    : elsewhere.length > 0
      ? `"${key}" belongs in ${elsewhere.join(', or ')}.`
      : `The keys here are: ${names.join(', ')}.`;
  return {
    severity: 'error',
    code: 'config/unknown-key',
    path,
    message: `${formatPath(path)} is not a key of an experiment. ${hint}`,
    hint,
  };
}
