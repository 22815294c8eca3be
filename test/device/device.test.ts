/** Tests what is said where a device is not there, and what `auto` says, on machines with and without one. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { EvaluateResult } from '../../src/engine/index.ts';
import { ortLibraryPath } from '../../src/engine/runtime/addon.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { installedDrivers, vulkanLoaderProblem } from '../../src/engine/runtime/vulkan.ts';
import { spinquant } from '../cli/spinquant.ts';
import { swiftShader, tinySteps } from './swiftshader.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'spinquant-device-'));
after(() => rmSync(folder, { recursive: true }));

const LINUX = process.platform === 'linux';
const ORT_FOLDER = path.dirname(ortLibraryPath() ?? '');
const hasCuda = existsSync(path.join(ORT_FOLDER, 'libonnxruntime_providers_cuda.so'));
const cudaIsThere = hasCuda && 'the CUDA libraries of ONNX Runtime are installed here';

test('cuda without its libraries: their names and how to get them', { skip: cudaIsThere }, async () => {
  const installable = LINUX && process.arch === 'x64';
  await assert.rejects(createRuntime({ device: 'cuda' }), {
    code: 'device/unavailable',
    message: installable
      ? /libonnxruntime_providers_cuda\.so, libonnxruntime_providers_shared\.so/
      : /not available on/,
    hint: installable ? /ONNXRUNTIME_NODE_INSTALL=cuda12.*"cpu" or "auto"/ : /"webgpu"/,
  });
});

test('webgpu without a driver: what to install', {
  skip: !LINUX && 'drivers are part of the system',
}, async () => {
  // If Chromium is there, its loader for Vulkan is found but no driver, so the fault is not a missing loader.
  const loader = swiftShader()?.LD_LIBRARY_PATH;
  const none = { VK_ICD_FILENAMES: path.join(folder, 'none.json') };
  const { code, stderr } = await tinySteps('webgpu', { ...none, ...(loader && { LD_LIBRARY_PATH: loader }) });
  assert.notEqual(code, 0);
  assert.match(stderr, /device\/unavailable/);
  const hasLoader = loader !== undefined || vulkanLoaderProblem() === null;
  assert.match(stderr, hasLoader ? /no Vulkan driver \(ICD\) is installed/ : /whose loader is not installed/);
  assert.match(stderr, /apt install .*mesa-vulkan-drivers/);
});

test('webgpu with a driver that cannot be loaded: no adapter, and the driver is named', async (t) => {
  const loader = swiftShader()?.LD_LIBRARY_PATH;
  if (loader === undefined) return t.skip('no Chromium with SwiftShader');
  const broken = manifest('broken.json', 'libvulkan_of_nobody.so');
  const { code, stderr } = await tinySteps('webgpu', { VK_ICD_FILENAMES: broken, LD_LIBRARY_PATH: loader });
  assert.notEqual(code, 0);
  assert.match(stderr, /WebGPU finds no adapter\. The Vulkan drivers installed \(libvulkan_of_nobody\.so\)/);
});

test('native kernels are refused on a GPU', async () => {
  for (const device of ['webgpu', 'cuda'] as const)
    await assert.rejects(createRuntime({ device, kernels: 'native' }), { code: 'runtime/kernels' });
});

test('auto is the processor and says why; named, it says nothing', async () => {
  const auto = await createRuntime({ device: 'auto', kernels: 'composed', threads: 1 });
  assert.equal(auto.device.kind, 'cpu');
  assert.match(auto.device.reason ?? '', /^auto: cpu, composed kernels; \w/);
  auto.close();
  const cpu = await createRuntime({ device: 'cpu', kernels: 'composed', threads: 1 });
  assert.equal(cpu.device.reason, null);
  cpu.close();
});

function manifest(name: string, library: string): string {
  const file = path.join(folder, name);
  const icd = { file_format_version: '1.0.0', ICD: { library_path: library, api_version: '1.3.0' } };
  writeFileSync(file, JSON.stringify(icd));
  return file;
}

test('drivers by their manifests: named in the environment, else in the folders of the system', () => {
  const files = [
    manifest('a.json', './libvk_swiftshader.so'),
    manifest('b.json', '/usr/lib/libvulkan_lvp.so'),
    manifest('c.json', 'libGLX_nvidia.so.0'),
    manifest('d.json', 'libvulkan_of_nobody.so'),
  ];
  writeFileSync(path.join(folder, 'e.json'), '{ "layer": 3');
  assert.deepEqual(installedDrivers({ VK_DRIVER_FILES: [...files, path.join(folder, 'e.json')].join(':') }), [
    { name: 'SwiftShader', software: true },
    { name: 'lavapipe', software: true },
    { name: 'NVIDIA', software: false },
    { name: 'libvulkan_of_nobody.so', software: null },
  ]);
  const data = path.join(folder, 'share');
  mkdirSync(path.join(data, 'vulkan', 'icd.d'), { recursive: true });
  manifest('share/vulkan/icd.d/radeon.json', '/usr/lib/libvulkan_radeon.so');
  writeFileSync(path.join(data, 'vulkan', 'icd.d', 'readme.txt'), '');
  assert.ok(
    installedDrivers({ XDG_DATA_HOME: folder, XDG_DATA_DIRS: data }).some(
      ({ name, software }) => name === 'AMD' && software === false,
    ),
  );
});

const DEMO = path.join(import.meta.dirname, '..', '..', 'examples', 'demo');

function experiment(device: string): string {
  const file = path.join(folder, 'tiny.spinquant.json');
  const perplexity = [{ text: path.join(DEMO, 'test.txt'), name: 'tiny', sequenceLength: 32, maxWindows: 1 }];
  const rotation = { r1: 'none', r2: 'none', r3: false, r4: false };
  const model = path.join(DEMO, 'model');
  writeFileSync(file, JSON.stringify({ model, rotation, evaluation: { perplexity }, device, threads: 1 }));
  return file;
}

test('--device stands in for what the experiment says, and the result names it', async () => {
  const { code, stdout, stderr } = await spinquant([
    'evaluate',
    experiment('cuda'),
    '--device',
    'cpu',
    '--json',
  ]);
  assert.equal(code, 0, stderr);
  assert.deepEqual((JSON.parse(stdout) as EvaluateResult).device, {
    kind: 'cpu',
    executionProvider: 'CPUExecutionProvider',
    adapter: null,
    reason: null,
  });
  const auto = await spinquant(['evaluate', experiment('auto')]);
  assert.match(auto.stderr, /auto: cpu, (native|composed) kernels.*; /);
});

test('an experiment on a device that is not there ends with what to do', { skip: cudaIsThere }, async () => {
  const { code, stderr } = await spinquant(['evaluate', experiment('cuda')]);
  assert.equal(code, 1);
  assert.match(stderr, /CUDA (needs|is not available)[\s\S]*device to "/);
  const unknown = await spinquant(['evaluate', experiment('cpu'), '--device', 'gpu']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /Allowed choices are auto, cpu, webgpu, cuda/);
});
