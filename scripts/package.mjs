/**
 * `npm run package`: a VSIX for this platform in `build/`. `npm run package -- win32-x64` makes that of another one,
 * without native kernels (they are compiled where they run): its operators are composed of standard ones.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run } from './project.mjs';
import { setUp } from './setup.mjs';

/** ONNX Runtime for Node comes for these. Of each only what the CPU needs: no DirectML, no shader compilers. */
const RUNTIME_FILES = {
  'linux-x64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'linux-arm64': ['onnxruntime_binding.node', 'libonnxruntime.so.1'],
  'darwin-arm64': ['onnxruntime_binding.node', 'libonnxruntime.1.dylib'],
  'win32-x64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
  'win32-arm64': ['onnxruntime_binding.node', 'onnxruntime.dll'],
};
const LIMIT_MB = 60;
const HERE = `${process.platform}-${process.arch}`;

const target = process.argv[2] ?? HERE;
if (!(target in RUNTIME_FILES)) {
  console.error(
    `There is no ONNX Runtime for ${target}. Platforms: ${Object.keys(RUNTIME_FILES).join(', ')}.`,
  );
  process.exit(1);
}
await setUp();
process.exitCode = packageFor(target);

/** @returns the exit status. */
function packageFor(target) {
  const folder = join(ROOT, 'build', 'package');
  mkdirSync(folder, { recursive: true });
  const ignoreFile = join(folder, `${target}.vscodeignore`);
  writeFileSync(ignoreFile, ignoreLines(target).join('\n'));
  const { name, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const out = join(folder, `${name}-${target}-${version}.vsix`);
  rmSync(out, { force: true });
  const vsce = join(ROOT, 'node_modules', '@vscode', 'vsce', 'vsce');
  const args = ['package', '--target', target, '--ignoreFile', ignoreFile, '--out', out];
  const status = run(process.execPath, [vsce, ...args, '--allow-missing-repository']);
  return status === 0 ? checkSize(out) : status;
}

function ignoreLines(target) {
  const [platform, arch] = target.split('-');
  const binaries = `node_modules/onnxruntime-node/bin/napi-v6/${platform}/${arch}`;
  const files = RUNTIME_FILES[target].map((file) => `${binaries}/${file}`);
  const kernels = 'build/native/spinquant.node';
  if (target === HERE && existsSync(join(ROOT, kernels))) files.push(kernels);
  else console.error(`Without native kernels: ${target === HERE ? 'not built' : `this is ${HERE}`}.`);
  for (const file of files)
    if (!existsSync(join(ROOT, file))) throw new Error(`${file} is missing: run \`npm ci\`.`);
  const common = readFileSync(join(ROOT, '.vscodeignore'), 'utf8').split('\n');
  return [...common, ...files.map((file) => `!${file}`)];
}

function checkSize(path) {
  const sizeMb = statSync(path).size / 1e6;
  console.log(`${path}: ${sizeMb.toFixed(1)} MB`);
  if (sizeMb <= LIMIT_MB) return 0;
  console.error(`More than ${LIMIT_MB} MB.`);
  return 1;
}
