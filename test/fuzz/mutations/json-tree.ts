/** JSON that may be wrong: keys may come twice, and a leaf is any text. */
export type JsonTree = JsonObject | JsonArray | JsonLeaf;

export interface JsonObject {
  readonly kind: 'object';
  readonly entries: (readonly [key: string, value: JsonTree])[];
}

export interface JsonArray {
  readonly kind: 'array';
  readonly items: JsonTree[];
}

export interface JsonLeaf {
  readonly kind: 'leaf';
  /** As it stands in the file. */
  readonly text: string;
}

export const leaf = (text: string): JsonLeaf => ({ kind: 'leaf', text });

export function treeOf(value: unknown): JsonTree {
  if (Array.isArray(value)) return { kind: 'array', items: value.map(treeOf) };
  if (typeof value !== 'object' || value === null) return leaf(JSON.stringify(value));
  const entries = Object.entries(value).map(([key, item]) => [key, treeOf(item)] as const);
  return { kind: 'object', entries };
}

export function textOf(tree: JsonTree): string {
  if (tree.kind === 'leaf') return tree.text;
  if (tree.kind === 'array') return `[${tree.items.map(textOf).join(', ')}]`;
  return `{${tree.entries.map(([key, value]) => `${JSON.stringify(key)}: ${textOf(value)}`).join(', ')}}`;
}

/** A place of a tree: its value, and how to put others there. */
export interface Slot {
  readonly value: JsonTree;
  /** Key or index in what holds it; null at the top. */
  readonly key: string | number | null;
  /** Copies of the tree with other values, or none, in this place. */
  readonly replace: (values: readonly (readonly [key: string, value: JsonTree])[]) => JsonTree;
}

/** All places of a tree, the top included. */
export function slotsOf(tree: JsonTree): Slot[] {
  const out: Slot[] = [];
  const walk = (value: JsonTree, key: Slot['key'], replace: Slot['replace']): void => {
    out.push({ value, key, replace });
    if (value.kind === 'array')
      value.items.forEach((item, index) => {
        walk(item, index, (values) =>
          replace([
            [
              String(key),
              { kind: 'array', items: value.items.toSpliced(index, 1, ...values.map(([, v]) => v)) },
            ],
          ]),
        );
      });
    if (value.kind === 'object')
      value.entries.forEach(([name, item], index) => {
        walk(item, name, (values) =>
          replace([[String(key), { kind: 'object', entries: value.entries.toSpliced(index, 1, ...values) }]]),
        );
      });
  };
  walk(tree, null, (values) => values[0]?.[1] ?? leaf(''));
  return out;
}
