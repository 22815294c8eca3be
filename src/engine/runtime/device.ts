/** This file knows what each device needs, how to report that it is missing, and which one `auto` takes. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { ortLibraryPath } from './addon.ts';
import type { DeviceKind, RuntimeDevice } from './types.ts';
import { installedDrivers, loadedDrivers, type VulkanDriver, vulkanLoaderProblem } from './vulkan.ts';

export type GpuKind = Exclude<DeviceKind, 'cpu'>;

const PROVIDERS = {
  cpu: 'CPUExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  cuda: 'CUDAExecutionProvider',
} as const satisfies Record<DeviceKind, RuntimeDevice['executionProvider']>;

/** These are the devices' names for people. */
export const DEVICE_WORDS: Readonly<Record<DeviceKind, string>> = {
  cpu: 'CPU',
  webgpu: 'WebGPU',
  cuda: 'CUDA',
};

const CUDA_LIBRARIES = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];

/** @param reason the reason why `auto` took the processor. */
export function processor(reason: string | null): RuntimeDevice {
  return { kind: 'cpu', executionProvider: PROVIDERS.cpu, adapter: null, reason };
}

/** Describes a device on which a session was opened, so that its driver is loaded. */
export function openedDevice(kind: GpuKind): RuntimeDevice {
  const adapter = kind === 'cuda' ? nvidiaModel() : webGpuAdapter();
  return { kind, executionProvider: PROVIDERS[kind], adapter, reason: null };
}

/**
 * Checks what can be seen to be missing before a session is tried.
 * @throws UserError `device/unavailable` that names what to install.
 */
export function requireDevice(kind: GpuKind): void {
  if (kind === 'cuda') requireCuda();
  else if (process.platform === 'linux') requireVulkan();
}

/** Turns the error of the first session on a device into advice for the person. */
export function deviceFailure(kind: GpuKind, error: unknown): UserError {
  const words = messageOf(error).trim();
  if (kind === 'cuda')
    return unavailable(
      `CUDA cannot be used: ${words}`,
      `ONNX Runtime's CUDA libraries are there. They need an NVIDIA GPU, its driver, CUDA 12 and cuDNN 9, found by the dynamic linker (LD_LIBRARY_PATH). ${OTHERWISE}`,
    );
  if (!/adapter/i.test(words)) return unavailable(`WebGPU cannot be used: ${words}`, OTHERWISE);
  const drivers = process.platform === 'linux' ? installedDrivers() : [];
  const found = drivers.length > 0 ? ` The Vulkan drivers installed (${names(drivers)}) offer none.` : '';
  return unavailable(
    `WebGPU finds no adapter.${found}`,
    `It takes a GPU with a current driver (Linux: Vulkan 1.1 or newer; lavapipe from Mesa 25 on), and access to it: containers and remote shells often have none. ${OTHERWISE}`,
  );
}

const OTHERWISE = 'Or set device to "cpu" or "auto".';

function unavailable(message: string, hint: string): UserError {
  return new UserError('device/unavailable', message, hint);
}

function requireVulkan(): void {
  const problem = vulkanLoaderProblem();
  if (problem !== null)
    throw unavailable(
      `WebGPU needs Vulkan, whose loader is not installed (${problem}).`,
      `Install it with a driver: on Debian and Ubuntu \`apt install libvulkan1 mesa-vulkan-drivers\`, for NVIDIA libvulkan1 and NVIDIA's own driver. ${OTHERWISE}`,
    );
  if (installedDrivers().length === 0)
    throw unavailable(
      'WebGPU finds no adapter: no Vulkan driver (ICD) is installed.',
      `Install that of the GPU: on Debian and Ubuntu \`apt install mesa-vulkan-drivers\`, for NVIDIA its own driver. VK_DRIVER_FILES, if set, must name a driver's manifest. ${OTHERWISE}`,
    );
}

function requireCuda(): void {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw unavailable(
      `CUDA is not available on ${process.platform}-${process.arch}: onnxruntime-node has it for linux-x64 only.`,
      'Set device to "webgpu" to use a GPU here, or to "cpu" or "auto".',
    );
  const missing = missingCudaLibraries();
  if (missing.length > 0)
    throw unavailable(
      `CUDA needs ONNX Runtime's CUDA libraries, which are not installed (${missing.join(', ')}).`,
      `Download them with \`ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node --ignore-scripts=false\` in the folder of SpinQuant Lab; CUDA 12 and cuDNN 9 are needed too. ${OTHERWISE}`,
    );
}

/** An opt-in download puts these libraries beside ONNX Runtime's own. */
function missingCudaLibraries(): string[] {
  const library = ortLibraryPath();
  if (library === undefined) return CUDA_LIBRARIES;
  return CUDA_LIBRARIES.filter((name) => !existsSync(path.join(path.dirname(library), name)));
}

/**
 * Returns the reason why `auto` took the processor. It always does. A software adapter is slower by nature. A GPU may
 * be slower too, since weights are sent to it again for every layer and pass; only a measurement here can tell. So the
 * sentence tells what else there is and leaves the choice to the person. It reads files only: no driver is loaded.
 * @param kernels the processor's kernels, in words.
 */
export function reasonForAuto(kernels: string): string {
  return `auto: cpu, ${kernels}; ${besides()}`;
}

/** Tells people about the devices that `auto` did not take. */
export function besides(): string {
  if (process.platform !== 'linux')
    return 'whether WebGPU has an adapter was not tried (device "webgpu" does)';
  const gpu = nvidiaModel();
  if (gpu !== null && missingCudaLibraries().length === 0)
    return `CUDA on ${gpu} may be faster (device "cuda" uses it)`;
  const drivers = vulkanLoaderProblem() === null ? installedDrivers() : [];
  if (drivers.length === 0) return 'no Vulkan driver for WebGPU is installed';
  if (drivers.every(({ software }) => software === true))
    return `the only WebGPU adapter, ${names(drivers)}, is software`;
  const others = names(drivers.filter(({ software }) => software !== true));
  return `a Vulkan driver is installed (${others}), whose adapter was not tried (device "webgpu" does)`;
}

/** The adapter belongs to the loaded driver. With several drivers, ONNX Runtime does not tell which one it took. */
function webGpuAdapter(): string {
  if (process.platform === 'darwin') return 'Metal GPU';
  if (process.platform === 'win32') return 'Direct3D 12 adapter (its name cannot be read)';
  const drivers = loadedDrivers();
  if (drivers.length === 0) return 'Vulkan adapter (its name cannot be read)';
  const [only, ...more] = drivers.map(({ name, software }) => `${name}${software ? ' (software)' : ''}`);
  return more.length === 0 ? only! : `one of ${[only, ...more].join(', ')}`;
}

/** Reads the model of this machine's NVIDIA GPUs from their driver; null for none, or for several models. */
function nvidiaModel(): string | null {
  const folder = '/proc/driver/nvidia/gpus';
  try {
    const models = readdirSync(folder).map(
      (gpu) => /^Model:\s*(.+)$/m.exec(readFileSync(path.join(folder, gpu, 'information'), 'utf8'))?.[1],
    );
    return new Set(models).size === 1 ? (models[0] ?? null) : null;
  } catch {
    return null; // The driver is not installed.
  }
}

function names(drivers: readonly VulkanDriver[]): string {
  return drivers.map(({ name }) => name).join(', ');
}
