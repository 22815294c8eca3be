/**
 * `npm run package` makes a VSIX for this platform in `build/package/`. With `-- --target win32-x64` it makes one for
 * another platform. That has no native kernels, which are compiled where they run: its operators are composed of
 * standard ones.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { binariesIn } from './binaries.mjs';
import { OPERATOR_LIBRARY } from './build-native.mjs';
import { ROOT, run } from './project.mjs';
import { setUp } from './setup.mjs';

/** ONNX Runtime for Node comes for these. Only the CPU's files are packed: no DirectML, no shader compilers. */
const RUNTIME_FILES = {
  'linux-x64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'linux-arm64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'darwin-arm64': ['onnxruntime_binding.node', 'libonnxruntime.1.dylib'],
  'win32-x64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
  'win32-arm64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
};
const KERNELS = ['spinquant.node', 'spinquant_mpi.node', OPERATOR_LIBRARY].map(
  (name) => `build/native/${name}`,
);
const LIMIT_MB = 60;
const HERE = `${process.platform}-${process.arch}`;

/**
 * Packs the built product.
 * @returns the VSIX, or null when it is not sound; the reason is printed.
 */
export function packageFor(target) {
  const folder = join(ROOT, 'build', 'package');
  mkdirSync(folder, { recursive: true });
  const files = binaryFiles(target);
  const ignoreFile = join(folder, `${target}.vscodeignore`);
  const common = readFileSync(join(ROOT, '.vscodeignore'), 'utf8').split('\n');
  writeFileSync(ignoreFile, [...common, ...files.map((file) => `!${file}`)].join('\n'));
  const { name, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const out = join(folder, `${name}-${target}-${version}.vsix`);
  rmSync(out, { force: true });
  const vsce = join(ROOT, 'node_modules', '@vscode', 'vsce', 'vsce');
  const args = ['package', '--target', target, '--ignoreFile', ignoreFile, '--out', out];
  // The README's links cannot be made absolute yet, for want of an address.
  const noAddress = ['--allow-missing-repository', '--no-rewrite-relative-links'];
  const once = ['--require', join(ROOT, 'scripts', 'compile-patterns-once.cjs')];
  if (run(process.execPath, [...once, vsce, ...args, ...noAddress]) !== 0) return null;
  return isSound(out, target, files) ? out : null;
}

/** Lists the compiled files of a platform, relative to the project. */
function binaryFiles(target) {
  const [platform, arch] = target.split('-');
  const folder = `node_modules/onnxruntime-node/bin/napi-v6/${platform}/${arch}`;
  const files = RUNTIME_FILES[target].map((file) => `${folder}/${file}`);
  for (const file of files)
    if (!existsSync(join(ROOT, file))) throw new Error(`${file} is missing: run \`npm ci\`.`);
  return hasKernels(target) ? [...files, ...KERNELS] : files;
}

function hasKernels(target) {
  return target === HERE && KERNELS.every((file) => existsSync(join(ROOT, file)));
}

/** Checks that it has exactly its binaries, all for its platform, and is not too large. */
function isSound(path, target, files) {
  const binaries = binariesIn(path);
  const faults = binaries
    .filter(({ platform }) => platform !== target)
    .map((binary) => `${binary.path} is for ${binary.platform}, not for ${target}.`);
  const packed = binaries.map((binary) => binary.path);
  for (const file of files) if (!packed.includes(file)) faults.push(`${file} is not in it.`);
  for (const file of packed) if (!files.includes(file)) faults.push(`${file} does not belong in it.`);
  const sizeMb = statSync(path).size / 1e6;
  if (sizeMb > LIMIT_MB) faults.push(`It is larger than ${LIMIT_MB} MB.`);
  console.log(`${path}: ${sizeMb.toFixed(1)} MB`);
  console.log(`Binaries, all for ${target}: ${packed.map((file) => file.split('/').at(-1)).join(', ')}.`);
  console.log(kernelsSentence(target));
  for (const fault of faults) console.error(fault);
  return faults.length === 0;
}

/** Tells the person who installs it about its speed. */
function kernelsSentence(target) {
  if (hasKernels(target)) return `Kernels: native, compiled on this machine for ${target}.`;
  const reason =
    target === HERE
      ? 'they are not built here: there is no C++ compiler'
      : `they are compiled where they run, and this machine is ${HERE}`;
  return `Kernels: none (${reason}). Operators are composed of standard ones: the same results up to rounding, slower. Run \`npm run package\` on ${target} for a VSIX with them.`;
}

/** @returns the platform that the command line names, or this one. */
function targetOf(words) {
  const [first, second] = words;
  const named = first === '--target' ? second : first?.replace(/^--target=/, '');
  return words.length === 0 ? HERE : (named ?? '');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const target = targetOf(process.argv.slice(2));
  if (target in RUNTIME_FILES) {
    await setUp();
    process.exitCode = packageFor(target) === null ? 1 : 0;
  } else {
    console.error(
      `There is no ONNX Runtime for ${target || 'a platform without a name'}. Platforms: ${Object.keys(RUNTIME_FILES).join(', ')}.`,
    );
    process.exitCode = 1;
  }
}
