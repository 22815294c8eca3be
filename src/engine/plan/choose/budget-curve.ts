import { isDeepStrictEqual } from 'node:util';
import type { ResolvedExperiment } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { AttributionFile, BudgetPoint } from '../../../runs/index.ts';
import { Executor } from '../execute.ts';
import { planEvaluate } from '../experiment-plan.ts';
import { Places } from '../places.ts';
import type { Source } from '../source.ts';
import { averageBits, exceptionsWithin } from './budget.ts';

/** Bits above those of an experiment without exceptions; with the last, every place has 8 bits. */
const MORE_BITS = [0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4] as const;

/**
 * Perplexity of the texts of an experiment against average bits: the exceptions within a budget are chosen, weights are
 * rounded anew where theirs change, and the network is measured.
 * @param source of learned rotations; null for those that learning starts from.
 */
export async function* budgetCurve(
  executor: Executor,
  source: Source | null,
  attribution: Pick<AttributionFile, 'cells'>,
): AsyncGenerator<RunEvent, BudgetPoint[]> {
  const { bench } = executor;
  const { config } = bench.checkpoint;
  const { quantization } = bench.experiment;
  const sequence = bench.experiment.calibration.sequenceLength;
  const least = averageBits(quantization, config, sequence);
  const points: BudgetPoint[] = [];
  for (const more of MORE_BITS) {
    const exceptions = exceptionsWithin(least + more, quantization, attribution, { config, sequence });
    if (points.length > 0 && isDeepStrictEqual(points.at(-1)?.exceptions, exceptions)) continue;
    const own = { ...quantization, ...(exceptions.length > 0 && { exceptions }) };
    const perplexity = yield* measured(executor, { ...bench.experiment, quantization: own }, source);
    points.push({ bits: averageBits(own, config, sequence), exceptions, perplexity });
  }
  return points;
}

async function* measured(
  { bench, seconds, signal }: Executor,
  experiment: ResolvedExperiment,
  source: Source | null,
): AsyncGenerator<RunEvent, BudgetPoint['perplexity']> {
  const asked = source ? experiment : fromTheStart(experiment);
  const named = source?.run ? [source.run.dir] : [];
  const places = new Places(null, named, experiment.runs);
  try {
    const own = new Executor({ ...bench, experiment: asked }, places, seconds, signal);
    const form = { path: source?.rotations ?? null, integer: undefined };
    const { perplexity } = await planEvaluate(asked, bench, ['quantized'], form);
    const results = yield* own.execute(perplexity);
    return results.map(({ name, quantized }) => ({ name, quantized }));
  } finally {
    await places.close();
  }
}

/** The experiment with the rotations that learning would start from, instead of learned ones. */
function fromTheStart(experiment: ResolvedExperiment): ResolvedExperiment {
  const { r1, r2, start } = experiment.rotation;
  const drawn = start === 'random' ? ('random' as const) : ('hadamard' as const);
  const of = (kind: typeof r1) => (kind === 'learned' ? drawn : kind);
  return { ...experiment, rotation: { ...experiment.rotation, r1: of(r1), r2: of(r2) } };
}
