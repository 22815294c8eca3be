import { z } from 'zod';
import type { JsonPath } from './faults.ts';
import { experimentSchema } from './schema.ts';

/** The places of a schema that hold schemas. */
export interface SchemaTree<Schema> {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** The parts of JSON schema (draft 7) that the experiment schema uses. */
export interface JsonSchema extends SchemaTree<JsonSchema> {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
  readonly examples?: readonly string[];
  readonly enum?: readonly (string | number)[];
  readonly const?: string | number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
}

let cached: JsonSchema | undefined;

/** Returns the experiment file's JSON schema (draft 7, which editors know best), with descriptions and defaults. */
export function experimentJsonSchema(): JsonSchema {
  cached ??= {
    title: 'SpinQuant Lab experiment',
    ...(z.toJSONSchema(experimentSchema, { io: 'input', target: 'draft-7' }) as JsonSchema),
  };
  return cached;
}

/** Returns the schema of the value at a path, or undefined where the path leaves the schema. */
export function schemaAt(path: JsonPath, root: JsonSchema = experimentJsonSchema()): JsonSchema | undefined {
  let schema: JsonSchema | undefined = root;
  for (const part of path) {
    if (typeof part === 'number') schema = arrayOf(schema)?.items;
    else schema = objectOf(schema)?.properties?.[part];
  }
  return schema;
}

/** Returns the list among a value's alternative kinds, or else the schema itself. */
export function arrayOf(schema: JsonSchema | undefined): JsonSchema | undefined {
  return schema?.anyOf?.find((option) => option.items) ?? schema;
}

/** Returns the object among a value's alternative kinds, or else the schema itself. */
export function objectOf(schema: JsonSchema | undefined): JsonSchema | undefined {
  return schema?.anyOf?.find((option) => option.properties) ?? schema;
}

/** True where a text stands for the value, if not always the only kind. */
export function mayBeText(schema: JsonSchema | undefined): boolean {
  return schema?.type === 'string' || (schema?.anyOf ?? []).some(mayBeText);
}

/** Returns the dotted paths of all keys with this name: a misplaced key may belong there. */
export function placesOf(key: string, schema: JsonSchema = experimentJsonSchema(), prefix = ''): string[] {
  const places: string[] = [];
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const path = prefix ? `${prefix}.${name}` : name;
    if (name === key) places.push(path);
    places.push(...placesOf(key, child, path));
  }
  return places;
}

/** Writes the allowed values in words: `a whole number from 1 to 1024, or null`. */
export function allowedValues(schema: JsonSchema): string {
  if (schema.enum) return listOf(schema.enum.map((value) => JSON.stringify(value)));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map(allowedValues).join(', or ');
  switch (schema.type) {
    case 'integer':
    case 'number':
      return `a ${schema.type === 'integer' ? 'whole number' : 'number'} ${allowedRange(schema)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return textsAllowed(schema);
    case 'array':
      return `a list [ … ] of at most ${schema.maxItems}`;
    case 'object':
      return `an object { … } with the keys ${Object.keys(schema.properties ?? {}).join(', ')}`;
    default:
      return 'null';
  }
}

function textsAllowed({ maxLength, examples = [] }: JsonSchema): string {
  const length = maxLength === undefined ? 'a text' : `a text of 1 to ${maxLength} characters`;
  // Editors offer all of them; a message has room for one.
  return [length, ...examples.slice(0, 1).map((example) => `such as ${JSON.stringify(example)}`)].join(', ');
}

function allowedRange(schema: JsonSchema): string {
  const lower =
    schema.exclusiveMinimum === undefined ? `from ${schema.minimum}` : `above ${schema.exclusiveMinimum}`;
  return `${lower} ${schema.exclusiveMinimum === undefined ? 'to' : 'up to'} ${schema.maximum}`;
}

function listOf(values: readonly string[]): string {
  if (values.length === 1) return values[0]!;
  return `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}
