/** Typed result of JSON.parse. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: Json;
}

export function parseJson(text: string): Json {
  return JSON.parse(text) as Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Rebuilds a value from its leaves up. @param change gets every value with its parts already changed. */
export function rebuild(value: Json, change: (value: Json) => Json): Json {
  if (isList(value)) return change(value.map((item) => rebuild(item, change)));
  if (!isObject(value)) return change(value);
  const entries = Object.entries(value).map(([key, item]) => [key, rebuild(item, change)] as const);
  return change(Object.fromEntries(entries));
}
