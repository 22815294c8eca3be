import { join } from 'node:path';
import { bitsLabel, type ResolvedExperiment, withoutMaps } from '../../config/index.ts';
import type { OptimizeResult } from '../../engine/index.ts';
import type { Variant } from '../../protocol/events.ts';
import { formatDelta, formatPerplexity, formatSeconds } from '../../protocol/text.ts';
import type { PerplexityResult } from '../../runs/index.ts';
import { type Engine, loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { projectRoot } from '../project-root.ts';
import { formatTable } from '../table.ts';

interface Row {
  readonly method: string;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  readonly perplexity: number | null;
  readonly seconds: number;
}

/**
 * Shows the method in one table, on a small model. It compares full precision with 4 bits without rotation, with
 * Hadamard rotations and with learned ones, as the paper's tables do. `evaluate` or `optimize` gives each row for its
 * experiment.
 */
export async function demo(flags: ComputeFlags, output: Output): Promise<undefined> {
  const file = join(projectRoot(), 'examples', 'demo', 'quick.spinquant.json');
  const experiment = await loadExperiment(file, 'optimize', output, flags.device);
  const engine = await loadEngine();
  const { rows, learned } = await interruptible(output, (signal) =>
    compare(engine, experiment, { signal, kernels: flags.kernels }, output),
  );
  output.document({ experiment: file, rows, run: learned.run, loss: learned.loss });
  output.result(
    [
      `\nPerplexity on ${learned.perplexity[0]?.name ?? 'the text'} (lower is better):\n`,
      table(rows),
      `\nExperiment: ${file}\nRun: ${learned.run}`,
    ].join('\n'),
  );
}

async function compare(
  engine: Engine,
  experiment: ResolvedExperiment,
  options: { readonly signal: AbortSignal; readonly kernels: ComputeFlags['kernels'] },
  output: Output,
): Promise<{ rows: Row[]; learned: OptimizeResult }> {
  const bits = bitsLabel(experiment.quantization);
  const measured = async (asked: ResolvedExperiment, variants: readonly Variant[]) => {
    const run = await timedRun(() =>
      follow(engine.evaluateExperiment(asked, { ...options, variants }), output),
    );
    return { first: run.value.perplexity[0], seconds: run.seconds };
  };
  const nearest = await measured(unrotated(experiment, 'rtn'), ['full-precision', 'quantized']);
  const { fullPrecision = null } = nearest.first ?? {};
  const gptq = await measured(unrotated(experiment, 'gptq'), ['quantized']);
  const hadamard = await measured(withHadamard(experiment), ['quantized']);
  const learned = await timedRun(() => follow(engine.optimizeRotation(experiment, options), output));
  const rows = [
    { method: 'full precision', bits: '16', perplexity: fullPrecision, seconds: 0 },
    row('round to nearest', bits, nearest.first, nearest.seconds),
    row('GPTQ', bits, gptq.first, gptq.seconds),
    row('random Hadamard rotation, GPTQ', bits, hadamard.first, hadamard.seconds),
    row('learned rotation, captured start, GPTQ', bits, learned.value.perplexity[0], learned.seconds),
  ];
  return { rows, learned: learned.value };
}

function row(method: string, bits: string, result: PerplexityResult | undefined, seconds: number): Row {
  return { method, bits, perplexity: result?.quantized ?? null, seconds };
}

/** Returns the same experiment without any rotation. */
function unrotated(experiment: ResolvedExperiment, method: 'rtn' | 'gptq'): ResolvedExperiment {
  const { quantization } = experiment;
  return withoutMaps({
    ...experiment,
    quantization: { ...quantization, weights: { ...quantization.weights, method } },
  });
}

/** Returns the same experiment with random Hadamard matrices instead of learned rotations. */
function withHadamard(experiment: ResolvedExperiment): ResolvedExperiment {
  return { ...experiment, rotation: { ...experiment.rotation, r1: 'hadamard', r2: 'hadamard' } };
}

async function timedRun<T>(work: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const start = performance.now();
  const value = await work();
  return { value, seconds: (performance.now() - start) / 1000 };
}

function table(rows: readonly Row[]): string {
  const base = rows[0]?.perplexity ?? null;
  return formatTable(
    ['method', 'setting', 'perplexity', 'change', 'time'],
    rows.map(({ method, bits, perplexity, seconds }, index) => [
      method,
      bits,
      formatPerplexity(perplexity),
      index === 0 ? '' : formatDelta(perplexity, base),
      index === 0 ? '' : formatSeconds(seconds),
    ]),
    ['left', 'left', 'right', 'right', 'right'],
  );
}
