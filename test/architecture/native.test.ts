/** Holds the rules of native-kernels/, in the manner of imports.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../native-kernels', import.meta.url));

/** Each folder may include files of these, and its own. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  abi: [],
  cpu: [],
  operator: ['abi', 'cpu'],
  ops: ['operator', 'cpu'],
  addon: ['operator', 'cpu', 'abi'],
  library: ['operator', 'abi'],
  mpi: ['addon'],
};

const MOST_LINES = 400;

/** A family need not have these files, for the reason given. */
const NOT_NEEDED: Readonly<Record<string, string>> = {
  'swap_axes/reference.cc': 'It only copies rows: there is nothing to compute in double precision.',
  'widen/reference.cc': 'It only moves bits: there is nothing to compute in double precision.',
};

/** Paths relative to native-kernels, with slashes. */
const FILES = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(cc|h)$/.test(name))
  .map((name) => name.split(sep).join('/'))
  .sort();

const textOf = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** Lists the files that a source includes by a path in quotes, relative to native-kernels. */
function includesOf(file: string, text: string): string[] {
  return [...text.matchAll(/^[ \t]*#[ \t]*include[ \t]+"([^"]+)"/gm)].map(([, included]) =>
    relative(ROOT, resolve(ROOT, dirname(file), included!))
      .split(sep)
      .join('/'),
  );
}

/** Collects the file itself and all that it includes, directly or not. */
function closureOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const included of includesOf(file, textOf(file))) closureOf(included, seen);
  return seen;
}

const folderOf = (file: string): string => file.split('/')[0]!;

/** Names the family of a file in ops; null for the list of operators. */
const familyOf = (file: string): string | null => /^ops\/([^/]+)\//.exec(file)?.[1] ?? null;

/** Says which arrow is broken; null if none is. */
function arrowFault(from: string, to: string): string | null {
  const [folder, target] = [folderOf(from), folderOf(to)];
  if (folder !== target)
    return ALLOWED[folder]?.includes(target)
      ? null
      : `${from} includes ${to}: ${folder} may not see ${target}`;
  return folder === 'ops' && familyOf(from) !== familyOf(to)
    ? `${from} includes ${to}: a family may not see another`
    : null;
}

test('the rule finds what it should', () => {
  const text = '#include <vector>\n#include "../../cpu/simd.h"\n#  include "mix.h"\n// #include "no.h"\n';
  assert.deepEqual(includesOf('ops/hadamard/kernel.cc', text), ['cpu/simd.h', 'ops/hadamard/mix.h']);
  assert.match(arrowFault('cpu/isa.cc', 'operator/operator.h') ?? '', /cpu may not see operator/);
  assert.match(arrowFault('ops/gptq/op.cc', 'abi/ort_api.h') ?? '', /ops may not see abi/);
  assert.match(arrowFault('ops/gptq/op.cc', 'ops/rotary/rotary.h') ?? '', /a family may not see another/);
  assert.match(arrowFault('ops/operators.cc', 'ops/rotary/rotary.h') ?? '', /a family may not see another/);
  assert.equal(arrowFault('ops/gptq/op.cc', 'ops/gptq/gptq.h'), null);
  assert.equal(arrowFault('addon/run.cc', 'cpu/denormals.h'), null);
});

test('every file is in a folder that has arrows, and includes go along them', () => {
  assert.ok(FILES.length > 60);
  const homeless = FILES.filter((file) => !(folderOf(file) in ALLOWED));
  assert.deepEqual(homeless, []);
  const pairs = FILES.flatMap((file) => includesOf(file, textOf(file)).map((to) => [file, to] as const));
  const missing = pairs.filter(([, to]) => !existsSync(join(ROOT, to)));
  assert.deepEqual(missing, []);
  const faults = pairs.map(([from, to]) => arrowFault(from, to)).filter((fault) => fault !== null);
  assert.deepEqual(faults, []);
});

test('operators know nothing of ONNX Runtime, and kernels nothing of operators', () => {
  const operators = FILES.filter((file) => folderOf(file) === 'ops');
  const seesRuntime = operators.filter((file) => [...closureOf(file)].some((to) => folderOf(to) === 'abi'));
  assert.deepEqual(seesRuntime, []);
  // Compiled for instructions that the processor may lack, a kernel must not bring templates of the standard library.
  const kernels = operators.filter((file) =>
    ['kernel.cc', 'avx_vnni.cc', 'avx512_vnni.cc', 'amx.cc', 'neon_dot.cc'].includes(basename(file)),
  );
  assert.ok(kernels.length > 10);
  const seen = kernels.flatMap((file) => [...closureOf(file)]).filter((to) => folderOf(to) === 'operator');
  assert.deepEqual([...new Set(seen)], ['operator/scratch.h']);
});

test(`no file has more than ${MOST_LINES} lines`, () => {
  const long = FILES.filter((file) => textOf(file).split('\n').length - 1 > MOST_LINES);
  assert.deepEqual(long, []);
});

test('every family has its operators and loops to test them against', () => {
  const families = [...new Set(FILES.map(familyOf))].filter((family) => family !== null);
  assert.ok(families.length > 10);
  const wanted = families.flatMap((family) => [`${family}/op.cc`, `${family}/reference.cc`]);
  const missing = wanted.filter((file) => !FILES.includes(`ops/${file}`));
  // A file that is there needs no entry: the list is exact.
  assert.deepEqual(missing, Object.keys(NOT_NEEDED));
});
