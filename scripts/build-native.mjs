// Builds native-kernels/ into build/native/ with the C++ compiler on PATH (or $CXX): the addon spinquant.node, the
// same operators as a shared library for programs without Node, libspinquant_ops, and the addon that loads MPI,
// spinquant_mpi.node.
// It is incremental: nothing runs when sources, flags and compiler are those of the last build.
// Without a compiler the product works, slower, with operators composed of standard ones; that is not an error.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const sources = path.join(root, 'native-kernels');

/** Each kernel.cc is compiled for these instruction sets; a namespace keeps the bodies apart. */
const instructionSets = {
  portable: [],
  ...(process.arch === 'x64' && {
    avx2: ['-mavx2', '-mfma', '-mf16c'],
    avx512: ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mprefer-vector-width=512'],
  }),
};

const avx512_bf16 = [
  ...(instructionSets.avx512 ?? []),
  ...['-mavx512vnni', '-mavx512bf16'],
  // GCC 12 warns of its own headers.
  ...['-Wno-unknown-warning-option', '-Wno-maybe-uninitialized', '-Wno-uninitialized'],
];

/** Sources of these names are compiled with flags of their own, where the compiler knows them; each has a body without. */
const specialSets = {
  neon_dot: ['-march=armv8.2-a+dotprod'],
  avx_vnni: [...(instructionSets.avx2 ?? []), '-mavxvnni'],
  avx512_vnni: [...(instructionSets.avx512 ?? []), '-mavx512vnni'],
  avx512_bf16,
  amx: [...avx512_bf16, '-mamx-tile', '-mamx-bf16', '-mamx-int8'],
};

// Contraction is off: a·b + c must round twice on every instruction set, unless the source uses fma.
const compileFlags = [
  '-std=c++17',
  '-O3',
  '-ffp-contract=off',
  '-fno-math-errno',
  '-fPIC',
  '-fvisibility=hidden',
  '-pthread',
  '-Wall',
  '-Wextra',
  '-DNAPI_VERSION=8',
];

/** The first report ends the process. Unoptimized code would take minutes. */
const sanitizerFlags = [
  ...['-O1', '-g', '-fno-omit-frame-pointer'],
  ...['-fsanitize=address,undefined,float-cast-overflow', '-fno-sanitize-recover=all'],
];

/**
 * What is built where.
 * @typedef {{output: string, flags: string[]}} Variant
 * @type {Variant}
 */
export const RELEASE = { output: path.join(root, 'build', 'native'), flags: [] };
/** With checks of every access to memory (`scripts/test-native-asan.mjs`). @type {Variant} */
export const SANITIZED = { output: path.join(root, 'build', 'native-asan'), flags: sanitizerFlags };

/** @param {Variant} variant */
export const addonOf = ({ output }) => path.join(output, 'spinquant.node');

const ADDON_FLAGS =
  process.platform === 'darwin'
    ? ['-bundle', '-undefined', 'dynamic_lookup', '-pthread']
    : ['-shared', '-pthread', '-ldl'];

/** What is linked of the objects: `holds` says of a source, by its folders, whether it belongs to it. */
const ADDON = {
  name: 'spinquant.node',
  stamp: 'spinquant.stamp',
  holds: ([folder]) => folder !== 'library' && folder !== 'mpi',
  flags: ADDON_FLAGS,
};
/** MPI itself is loaded when a process is a rank: nothing of it is linked. */
const MPI_ADDON = {
  name: 'spinquant_mpi.node',
  stamp: 'spinquant_mpi.stamp',
  holds: ([folder, file]) => folder === 'mpi' || folder === 'abi' || file === 'napi_util.cc',
  flags: ADDON_FLAGS,
};
/** Our operators for programs without Node. */
export const OPERATOR_LIBRARY =
  process.platform === 'darwin' ? 'libspinquant_ops.dylib' : 'libspinquant_ops.so';
const LIBRARY = {
  name: OPERATOR_LIBRARY,
  stamp: 'libspinquant_ops.stamp',
  holds: ([folder]) => folder !== 'addon' && folder !== 'mpi',
  flags:
    process.platform === 'darwin'
      ? ['-dynamiclib', '-pthread']
      : ['-shared', '-pthread', '-ldl', '-Wl,-z,defs'],
};

/** Returns the first compiler that answers, with its version text; undefined if there is none. */
export async function findCompiler(
  candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'],
) {
  for (const command of candidates) {
    try {
      const { stdout } = await run(command, ['--version']);
      return { command, version: stdout };
    } catch {
      // This one is missing; the next is tried.
    }
  }
  return undefined;
}

/** Returns {@link specialSets}, without flags where the compiler does not know them. */
export async function knownSpecialSets(compiler) {
  const knows = async (flags) => {
    const empty = ['-fsyntax-only', '-x', 'c++', os.devNull];
    return run(compiler.command, [...flags, ...empty]).then(
      () => true,
      () => false,
    );
  };
  const sets = Object.entries(specialSets).map(async ([name, flags]) => [
    name,
    (await knows(flags)) ? flags : [],
  ]);
  return Object.fromEntries(await Promise.all(sets));
}

/** Lists the sources and headers, by their paths in native-kernels. */
export async function sourceFiles() {
  const entries = await readdir(sources, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.(cc|h)$/.test(entry.name))
    .map((entry) => path.relative(sources, path.join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

async function nodeHeaders() {
  const headers = path.join(root, 'node_modules', 'node-api-headers', 'include');
  await readFile(path.join(headers, 'node_api.h'));
  return headers;
}

/**
 * One object: of a source, by its path in native-kernels. `before` is included in front of it.
 * @typedef {{file: string, object: string, flags: string[], before?: string}} Unit
 */

/** Lists one object per plain source, and one per instruction set of a kernel. @returns {Unit[]} */
export function compilations(files, special, sets = instructionSets) {
  const units = [];
  for (const file of files.filter((name) => name.endsWith('.cc'))) {
    const stem = file.replace(/\.cc$/, '').replaceAll(path.sep, '-');
    const name = path.basename(file, '.cc');
    if (name in special)
      units.push({ file, object: `${stem}.o`, flags: [...special[name], `-DSPINQUANT_ISA=${name}`] });
    else if (name !== 'kernel') units.push({ file, object: `${stem}.o`, flags: [] });
    else
      for (const [set, flags] of Object.entries(sets))
        units.push({ file, object: `${stem}.${set}.o`, flags: [...flags, `-DSPINQUANT_ISA=${set}`] });
  }
  return units;
}

/** Returns the text of a source and of its includes from our folders, to know when an object is out of date. */
async function textWithIncludes(file, texts, seen = new Set()) {
  if (seen.has(file)) return '';
  seen.add(file);
  texts[file] ??= await readFile(path.join(sources, file), 'utf8');
  let all = texts[file];
  for (const [, included] of texts[file].matchAll(/^#include "([^"]+)"/gm))
    all += await textWithIncludes(path.join(path.dirname(file), included), texts, seen);
  return all;
}

const hashOf = (...parts) => createHash('sha256').update(JSON.stringify(parts)).digest('hex');

async function readStamp(file) {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return '';
  }
}

async function compile(compiler, headers, unit, texts, variant) {
  const object = path.join(variant.output, unit.object);
  const flags = [...compileFlags, ...unit.flags, ...variant.flags];
  const parts = [unit.before, unit.file].filter((file) => file !== undefined);
  const all = await Promise.all(parts.map((file) => textWithIncludes(file, texts)));
  const stamp = hashOf(compiler.version, flags, all.join(''));
  const compiled = { unit, object, stamp };
  if ((await readStamp(`${object}.stamp`)) === stamp) return compiled;
  const fresh = `${object}.${process.pid}.tmp`;
  const before = unit.before === undefined ? [] : ['-include', path.join(sources, unit.before)];
  const args = [...flags, ...before, `-I${headers}`, '-c', path.join(sources, unit.file), '-o', fresh];
  const { stderr } = await run(compiler.command, args);
  if (stderr) console.error(stderr);
  await rename(fresh, object);
  await writeFile(`${object}.stamp`, stamp);
  return compiled;
}

/** Compiles what is out of date. @returns the units with their objects and stamps. */
export async function compileAll(compiler, units, variant) {
  const headers = await nodeHeaders();
  await mkdir(variant.output, { recursive: true });
  const texts = {};
  return inParallel(units.map((unit) => () => compile(compiler, headers, unit, texts, variant)));
}

/** Runs as many tasks at a time as there are processors. Results are in order. */
async function inParallel(tasks) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < tasks.length) {
      const index = next++;
      results[index] = await tasks[index]();
    }
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, worker));
  return results;
}

/** @param compiled what `compileAll` returns. @returns whether the file is new. */
export async function link(compiler, compiled, target, { output, flags }) {
  const file = path.join(output, target.name);
  const parts = compiled.filter(({ unit }) => target.holds(unit.file.split(path.sep)));
  const stamps = parts.map((part) => part.stamp);
  const stamp = hashOf(target.flags, stamps);
  const stampFile = path.join(output, target.stamp);
  if ((await readStamp(stampFile)) === stamp && existsSync(file)) return false;
  const objects = parts.map((part) => part.object);
  // A new file gets the old name: a process that has loaded the old file keeps it.
  const fresh = path.join(output, `${target.name}.${process.pid}.tmp`);
  await run(compiler.command, ['-o', fresh, ...objects, ...flags, ...target.flags]);
  await rm(file, { force: true });
  await rename(fresh, file);
  await writeFile(stampFile, stamp);
  return true;
}

/**
 * Builds the native operators if they are out of date.
 * @param {Variant} variant
 * @returns {Promise<{status: 'built' | 'current', addon: string} | {status: 'unavailable', reason: string}>}
 * @throws when a compiler is there but fails; its messages are in the error.
 */
export async function buildNative(variant = RELEASE) {
  if (process.platform === 'win32') return { status: 'unavailable', reason: 'Windows is not supported' };
  const compiler = await findCompiler();
  if (!compiler) return { status: 'unavailable', reason: 'no C++ compiler was found' };
  if (!(await nodeHeaders().catch(() => undefined)))
    return { status: 'unavailable', reason: 'the package node-api-headers is not installed' };
  const units = compilations(await sourceFiles(), await knownSpecialSets(compiler));
  const compiled = await compileAll(compiler, units, variant);
  const isNew = await link(compiler, compiled, ADDON, variant);
  // A library of checked code would need a host that is checked, too.
  const isNewLibrary = variant === RELEASE && (await link(compiler, compiled, LIBRARY, variant));
  const isNewMpi = await link(compiler, compiled, MPI_ADDON, variant);
  return { status: isNew || isNewLibrary || isNewMpi ? 'built' : 'current', addon: addonOf(variant) };
}

async function main() {
  const started = performance.now();
  const result = await buildNative();
  if (result.status === 'unavailable')
    console.log(
      `Native operators are not built (${result.reason}); composed ones are used, which are slower.`,
    );
  else if (result.status === 'built')
    console.log(`Native operators built in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
  else console.log('Native operators are up to date.');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error) => {
    console.error(error.stderr || error.message);
    process.exitCode = 1;
  });
}
