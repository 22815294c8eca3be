/** Compares two recordings: `compare.ts BEFORE AFTER`. Exits with 1 where anything differs. See README.md. */
import { readFileSync } from 'node:fs';
import { countValues, type Difference, differences } from './differences.ts';
import { isObject, type Json, type JsonObject, parseJson } from './json.ts';
import { toOldForm } from './renamings.ts';

/** Differences shown of each part. */
const SHOWN = 5;
const LONGEST_VALUE = 100;

const [before, after] = process.argv.slice(2).map(read);
if (before === undefined || after === undefined) throw new Error('usage: compare.ts BEFORE AFTER');
process.exitCode = compare(before, after) ? 0 : 1;

function read(path: string): JsonObject {
  const recording = toOldForm(parseJson(readFileSync(path, 'utf8')));
  if (!isObject(recording)) throw new Error(`${path} is no recording`);
  return recording;
}

/** @returns whether all is equal, and there is something. */
function compare(before: JsonObject, after: JsonObject): boolean {
  const { experiments: left, ...headBefore } = before;
  const { experiments: right, ...headAfter } = after;
  if (!isObject(left) || !isObject(right)) throw new Error('a recording holds no experiments');
  const names = keysOf(left, right);
  const faults = [compareParts('recording', headBefore, headAfter)];
  for (const name of names) faults.push(compareParts(name, left[name], right[name]));
  const sum = faults.reduce((total, count) => total + count, 0);
  console.log(sum === 0 ? `Equal: ${names.length} experiments.` : `${sum} values differ.`);
  return sum === 0 && names.length > 0;
}

/** Prints what is equal and what is not. @returns the number of differences. */
function compareParts(name: string, before: Json | undefined, after: Json | undefined): number {
  console.log(name);
  if (!isObject(before) || !isObject(after)) {
    console.log(`  only in the recording ${after === undefined ? 'before' : 'after'}`);
    return 1;
  }
  const parts = keysOf(before, after).map((part) => ({
    part,
    values: countValues(before[part]),
    found: differences(before[part], after[part]),
  }));
  const equal = parts.filter(({ found }) => found.length === 0);
  if (equal.length > 0)
    console.log(`  equal: ${equal.map(({ part, values }) => `${part} (${values})`).join(', ')}`);
  for (const { part, values, found } of parts) if (found.length > 0) printPart(part, values, found);
  return parts.reduce((sum, { found }) => sum + found.length, 0);
}

function printPart(part: string, values: number, found: readonly Difference[]): void {
  console.log(`  DIFFERS: ${part}, in ${found.length} places; ${values} values before`);
  for (const { path, before, after } of found.slice(0, SHOWN))
    console.log(`    ${path || part}: ${shown(before)} → ${shown(after)}`);
  if (found.length > SHOWN) console.log(`    and ${found.length - SHOWN} more`);
}

function shown(value: Json | undefined): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

function keysOf(a: JsonObject, b: JsonObject): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])];
}
