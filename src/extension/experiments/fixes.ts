/** Mends faults, by edits of the text. Knows nothing of the editor. */
import { applyEdits, findNodeAtLocation, getNodeValue, modify, type Node, parseTree } from 'jsonc-parser';
import { type JsonSchema, placesOf, schemaAt } from '../../config/json-schema.ts';
import { nearestName } from '../../config/nearest.ts';
import { nearestTask } from '../../config/tasks/index.ts';
import type { PlacedFault } from './checker.ts';

type Path = readonly (string | number)[];

export type Fix =
  | { readonly kind: 'rename'; readonly name: string; readonly text: string }
  | { readonly kind: 'move'; readonly to: string; readonly text: string }
  | { readonly kind: 'set'; readonly path: Path; readonly value: unknown; readonly text: string }
  | { readonly kind: 'remove'; readonly path: Path; readonly text: string }
  /** The person picks a file or folder. */
  | { readonly kind: 'choose'; readonly path: Path; readonly what: 'model' | 'text' };

/** Values that mend a fault of the schema's rules, by its code. */
const VALUES: Readonly<Record<string, unknown>> = {
  'config/r3-off': true,
  'config/r4-off': true,
  'config/embedding-centring': false,
  'config/weight-bits': null,
  'config/micro-batch': null,
};

const METHOD: Path = ['quantization', 'weights', 'method'];

/** The best first. `text` of each is the whole text after it. */
export function fixesOf(fault: PlacedFault, text: string): Fix[] {
  const { code, path, suggestion } = fault;
  if (suggestion) return set(text, suggestion.path, suggestion.value);
  if (code in VALUES) return set(text, path, VALUES[code]);
  switch (code) {
    case 'config/unknown-key':
      return unknownKeyFixes(text, path);
    case 'config/invalid-value':
      return valueFixes(text, path);
    case 'config/missing-key':
    case 'config/missing-file':
      return isPath(path) ? [choose(path)] : [];
    case 'config/no-calibration-text':
      return [choose(path), ...withoutText(text)];
    case 'config/same-name':
      return set(text, path, `${String(valueAt(text, path))}-2`);
    default:
      return [];
  }
}

/** Does without a calibration text: by given rotations, or else by weights rounded to nearest. */
function withoutText(text: string): Fix[] {
  const learned = (['r1', 'r2'] as const).filter((name) => valueAt(text, ['rotation', name]) === 'learned');
  if (learned.length > 0) return learned.flatMap((name) => set(text, ['rotation', name], 'hadamard'));
  return valueAt(text, METHOD) === 'gptq' ? set(text, METHOD, 'rtn') : [];
}

/** `text` with another value at a path, its format kept. */
export function withValue(text: string, path: Path, value: unknown): string {
  const formattingOptions = { insertSpaces: !/^\t/m.test(text), tabSize: 2, eol: '\n' };
  return applyEdits(text, modify(text, [...path], value, { formattingOptions }));
}

function set(text: string, path: Path, value: unknown): Fix[] {
  return hasPlace(text, path) ? [{ kind: 'set', path, value, text: withValue(text, path, value) }] : [];
}

/** False where a number or a text stands in the place of an object or list on the way. */
function hasPlace(text: string, path: Path): boolean {
  return path.every((part, depth) => {
    const around = nodeAt(text, path.slice(0, depth));
    return around === undefined || around.type === (typeof part === 'number' ? 'array' : 'object');
  });
}

function choose(path: Path): Fix {
  return { kind: 'choose', path, what: path[0] === 'model' ? 'model' : 'text' };
}

function isPath(path: Path): boolean {
  return path[0] === 'model' || path.includes('text');
}

function unknownKeyFixes(text: string, path: Path): Fix[] {
  const key = String(path.at(-1));
  const parent = path.slice(0, -1);
  const fixes: Fix[] = [];
  const nearest = nearestName(key, Object.keys(schemaAt(parent)?.properties ?? {}));
  const node = nodeAt(text, path)?.parent?.children?.[0];
  if (nearest !== null && node !== undefined && nodeAt(text, [...parent, nearest]) === undefined)
    fixes.push({
      kind: 'rename',
      name: nearest,
      text: text.slice(0, node.offset) + JSON.stringify(nearest) + text.slice(node.offset + node.length),
    });
  // Behind a syntax error, the key may lie in something that is not there.
  if (nodeAt(text, parent)?.type !== 'object') return fixes;
  const removed = withValue(text, path, undefined);
  const value = valueAt(text, path);
  // A key whose value is missing cannot be moved.
  const places = nearest === null && value !== undefined ? placesOf(key) : [];
  for (const place of places) {
    if (!hasPlace(removed, place.split('.'))) continue;
    fixes.push({ kind: 'move', to: place, text: withValue(removed, place.split('.'), value) });
  }
  return [...fixes, { kind: 'remove', path, text: removed }];
}

/** The nearest allowed value, else the default. */
function valueFixes(text: string, path: Path): Fix[] {
  const schema = schemaAt(path);
  if (schema === undefined) return [];
  const written = valueAt(text, path);
  const best = nearestTask(path, written) ?? nearestValue(written, allowedValues(schema));
  const values = [best, schema.default].filter((value) => value !== undefined && typeof value !== 'object');
  return [...new Set(values)].flatMap((value) => set(text, path, value));
}

type Scalar = string | number | boolean;

function nearestValue(written: unknown, allowed: readonly Scalar[]): Scalar | undefined {
  if (typeof written === 'number') {
    const numbers = allowed.filter((value) => typeof value === 'number');
    return numbers.sort((a, b) => Math.abs(a - written) - Math.abs(b - written))[0];
  }
  // A list or an object is near to nothing.
  if (typeof written === 'object' && written !== null) return undefined;
  const nearest = nearestName(String(written), allowed.map(String));
  return allowed.find((value) => String(value) === nearest);
}

function allowedValues(schema: JsonSchema): readonly Scalar[] {
  if (schema.enum) return schema.enum;
  if (schema.type === 'boolean') return [true, false];
  return schema.anyOf?.flatMap(allowedValues) ?? [];
}

function nodeAt(text: string, path: Path): Node | undefined {
  const tree = parseTree(text, [], { allowTrailingComma: true });
  return tree && findNodeAtLocation(tree, [...path]);
}

function valueAt(text: string, path: Path): unknown {
  const node = nodeAt(text, path);
  return node && getNodeValue(node);
}
