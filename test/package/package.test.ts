/** VSIX files for several platforms, of what is built: `npm run package` without its set-up. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { binariesIn, platformOf } from '../../scripts/binaries.mjs';
import { OPERATOR_LIBRARY } from '../../scripts/build-native.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const HERE = `${process.platform}-${process.arch}`;
const LIMIT_MB = 60;
/** ONNX Runtime's binaries for the CPU, by platform. */
const RUNTIME = {
  'linux-x64': ['libonnxruntime.so.1', 'onnxruntime_binding.node'],
  'linux-arm64': ['libonnxruntime.so.1', 'onnxruntime_binding.node'],
  'win32-x64': ['onnxruntime.dll', 'onnxruntime_binding.node'],
  'darwin-arm64': ['libonnxruntime.1.dylib', 'onnxruntime_binding.node'],
} as const;

/** @returns what it printed, and the VSIX. */
async function pack(target: string): Promise<{ said: string; vsix: string }> {
  const script = pathToFileURL(join(ROOT, 'scripts', 'package.mjs')).href;
  const program = `const { packageFor } = await import(${JSON.stringify(script)});
    const path = packageFor(${JSON.stringify(target)});
    if (path === null) process.exit(1);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    maxBuffer: 2 ** 24,
  });
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return { said: stdout, vsix: join(ROOT, 'build', 'package', `spinquant-lab-${target}-${version}.vsix`) };
}

function lacks(t: TestContext): boolean {
  if (existsSync(join(ROOT, 'dist', 'extension.cjs'))) return false;
  t.skip('nothing is built: `npm run build`');
  return true;
}

for (const [target, runtime] of Object.entries(RUNTIME))
  test(`the VSIX for ${target} has the binaries of that platform and says what its kernels are`, async (t) => {
    if (lacks(t)) return;
    const { said, vsix } = await pack(target);
    const binaries = binariesIn(vsix);
    for (const { path, platform } of binaries) assert.equal(platform, target, path);
    const native = target === HERE && existsSync(join(ROOT, 'build', 'native', 'spinquant.node'));
    const expected = native
      ? [...runtime, 'spinquant.node', 'spinquant_mpi.node', OPERATOR_LIBRARY]
      : [...runtime];
    assert.deepEqual(binaries.map(({ path }) => basename(path)).sort(), expected.sort());
    assert.match(
      said,
      native
        ? /^Kernels: native/m
        : /^Kernels: none .* composed of standard ones: the same results up to rounding, slower\./m,
    );
    const files = unzipSync(readFileSync(vsix));
    const manifest = new TextDecoder().decode(files['extension.vsixmanifest']);
    assert.ok(manifest.includes(`TargetPlatform="${target}"`));
    // People who install it read that such a VSIX exists, and how it differs.
    const readme = files['extension/readme.md'] ?? files['extension/README.md'];
    const text = new TextDecoder().decode(readme);
    for (const [, link] of text.matchAll(/\]\(((?:docs|media)\/[^)#]+)/g))
      assert.ok(files[`extension/${link}`], `README.md links to ${link}, which is not packed`);
    assert.match(text, /composed of standard ones: the same results up to rounding, slower/);
    assert.ok(readFileSync(vsix).length < LIMIT_MB * 1e6);
  });

test('the platform of a binary is read from its bytes, not from its name', () => {
  const bytes = (...parts: [offset: number, values: number[]][]) => {
    const file = new Uint8Array(256);
    for (const [offset, values] of parts) file.set(values, offset);
    return file;
  };
  const elf = (machine: number) => bytes([0, [0x7f, 0x45, 0x4c, 0x46]], [18, [machine, 0]]);
  assert.equal(platformOf(elf(62)), 'linux-x64');
  assert.equal(platformOf(elf(183)), 'linux-arm64');
  assert.equal(platformOf(elf(40)), 'unknown');
  const windows = bytes([0, [0x4d, 0x5a]], [0x3c, [128]], [128, [0x50, 0x45, 0, 0, 0x64, 0x86]]);
  assert.equal(platformOf(windows), 'win32-x64');
  assert.equal(platformOf(bytes([0, [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1]])), 'darwin-arm64');
  assert.equal(platformOf(new TextEncoder().encode('MZ is how this text begins'.padEnd(80))), null);
  assert.equal(platformOf(new Uint8Array(3)), null);
});
