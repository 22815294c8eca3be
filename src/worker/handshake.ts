import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import manifest from '../../package.json' with { type: 'json' };
import { loadAddon, ortLibraryPath } from '../engine/index.ts';
import { messageOf, UserError } from '../protocol/errors.ts';
import { type Handshake, WORKER_PROTOCOL } from '../protocol/worker.ts';

/** Introduces this worker and its kernels. Loads neither ONNX Runtime nor a model. */
export function handshake(): Handshake {
  const ort = ortVersion();
  const { kernels, problem } = findKernels();
  return {
    protocol: WORKER_PROTOCOL,
    product: manifest.version,
    ort,
    kernels,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    pid: process.pid,
    problem: ort === null ? missingRuntime() : problem,
  };
}

function ortVersion(): string | null {
  try {
    const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
    return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
  } catch {
    return null; // Not installed: said in `problem`.
  }
}

function missingRuntime(): Handshake['problem'] {
  return {
    message: `ONNX Runtime is not there for ${process.platform}-${process.arch}.`,
    hint: 'Install the build of SpinQuant Lab for this platform.',
  };
}

/** The addon is a small library of its own; it opens ONNX Runtime only when a job starts. */
function findKernels(): Pick<Handshake, 'kernels' | 'problem'> {
  try {
    const addon = ortLibraryPath() === undefined ? undefined : loadAddon();
    if (addon === undefined) return { kernels: 'composed', problem: null };
    return { kernels: `native ${addon.instructionSets().at(-1) ?? 'portable'}`, problem: null };
  } catch (error) {
    const hint = error instanceof UserError ? error.hint : '';
    return { kernels: 'none', problem: { message: messageOf(error), hint } };
  }
}
