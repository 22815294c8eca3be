import { availableParallelism, cpus, totalmem } from 'node:os';
import manifest from '../../../package.json' with { type: 'json' };
import { messageOf } from '../../protocol/errors.ts';
import { PRODUCT_NAME } from '../../protocol/ids.ts';
import { formatBytes, formatCount } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import type { Output } from '../output.ts';
import { formatTable } from '../table.ts';

const OLDEST_NODE = 20;

interface Check {
  readonly name: string;
  /** With `slow`, experiments run slower than this machine could. With `missing`, they cannot run. */
  readonly status: 'ok' | 'slow' | 'missing';
  readonly found: string;
  readonly hint: string;
}

/** Checks what this machine offers. It fails when something that experiments need is missing. */
export async function doctor(output: Output): Promise<ExitCode> {
  const checks = [productCheck(), nodeCheck(), machineCheck(), ...(await runtimeChecks()), await gpuCheck()];
  const works = checks.every((check) => check.status !== 'missing');
  output.document({ ok: works, checks });
  output.result(
    formatTable(
      ['check', 'status', 'found'],
      checks.map((check) => [check.name, check.status, check.found]),
      ['left', 'left', 'left'],
    ),
  );
  for (const check of checks) if (check.status !== 'ok') output.result(`${check.name}: ${check.hint}`);
  return works ? EXIT.success : EXIT.fault;
}

function productCheck(): Check {
  return { name: PRODUCT_NAME, status: 'ok', found: manifest.version, hint: '' };
}

function nodeCheck(): Check {
  const recent = Number(process.versions.node.split('.')[0]) >= OLDEST_NODE;
  return {
    name: 'Node',
    status: recent ? 'ok' : 'missing',
    found: process.version,
    hint: `Install Node ${OLDEST_NODE} or newer.`,
  };
}

function machineCheck(): Check {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const found = `${process.platform}-${process.arch}, ${cpu}, ${formatCount(availableParallelism(), 'thread')}, ${formatBytes(totalmem())} memory`;
  return { name: 'Machine', status: 'ok', found, hint: '' };
}

async function runtimeChecks(): Promise<Check[]> {
  const native = await tryRuntime('native');
  const runtime = native.error === null ? native : await tryRuntime('composed');
  return [
    {
      name: 'ONNX Runtime',
      status: runtime.error === null ? 'ok' : 'missing',
      found: runtime.found,
      hint: 'Run `npm run setup`; the package onnxruntime-node must be installed for this platform.',
    },
    {
      name: 'Native kernels',
      status: native.error === null ? 'ok' : 'slow',
      found: native.error === null ? 'in use' : native.found,
      hint: 'Operators are composed of standard ones instead. Install a C++17 compiler and run `npm run setup`.',
    },
  ];
}

/** This check never fails: the processor is enough. */
async function gpuCheck(): Promise<Check> {
  const { otherDevices } = await loadEngine();
  return { name: 'GPU', status: 'ok', found: await otherDevices(), hint: '' };
}

async function tryRuntime(kernels: 'native' | 'composed'): Promise<{ found: string; error: unknown }> {
  try {
    const { createRuntime } = await loadEngine();
    const runtime = await createRuntime({ kernels });
    runtime.close();
    return { found: runtime.description, error: null };
  } catch (error) {
    return { found: messageOf(error), error };
  }
}
