/** Exceptions that are left to the product: layers by what they cost, or all of them within a budget of bits. */
import { isDeepStrictEqual } from 'node:util';
import {
  choosesExceptions,
  type Exception,
  type ResolvedExperiment,
  withoutChosen,
} from '../../../config/index.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import { formatCount } from '../../../protocol/text.ts';
import type { AttributionFile, Run } from '../../../runs/index.ts';
import { attributed } from '../attribute.ts';
import { Executor } from '../execute.ts';
import { benchWithKeyMeans } from '../key-means.ts';
import type { EngineOptions } from '../options.ts';
import { phase } from '../phases.ts';
import { Places } from '../places.ts';
import { openWorkbench } from '../workbench.ts';
import { averageBits, exceptionsWithin } from './budget.ts';
import { withWorstLayers } from './layers-by-cost.ts';

/**
 * The experiment with its exceptions named: those that a run of it has chosen, else chosen anew from an attribution of
 * the network without them, whose rotations are those that learning starts from.
 * @param run whose rotations or weights serve; null for none.
 */
export async function* withExceptionsChosen(
  experiment: ResolvedExperiment,
  options: EngineOptions,
  run: Run | null,
): AsyncGenerator<RunEvent, ResolvedExperiment> {
  const { quantization } = experiment;
  const { budget } = quantization;
  if (!choosesExceptions(quantization)) return experiment;
  const known = run && (await chosenBy(run, experiment));
  if (known) return withExceptions(experiment, known);
  const bare = withoutExceptions(experiment);
  const places = new Places(null, [], experiment.runs);
  const bench = yield* phase('load', {}, () => openWorkbench(bare, options), experiment.model);
  try {
    const own = yield* benchWithKeyMeans(bench, places, options);
    const executor = new Executor(own, places, {}, options.signal);
    const found = yield* attributed(executor, null, {});
    const { config } = bench.checkpoint;
    const text = { config, sequence: experiment.calibration.sequenceLength };
    const exceptions =
      budget === undefined
        ? named(experiment, found)
        : exceptionsWithin(budget, bare.quantization, found, text);
    const chosen = withExceptions(experiment, exceptions);
    yield told(exceptions, averageBits(chosen.quantization, config, text.sequence));
    return chosen;
  } finally {
    await places.close();
    await bench.close();
  }
}

/** The experiment with one quantizer for all layers. */
export function withoutExceptions(experiment: ResolvedExperiment): ResolvedExperiment {
  const { budget: _, exceptions: __, ...uniform } = experiment.quantization;
  return { ...experiment, quantization: uniform };
}

function named({ quantization }: ResolvedExperiment, found: AttributionFile): Exception[] {
  return (quantization.exceptions ?? []).map((exception) => withWorstLayers(exception, found));
}

function withExceptions(experiment: ResolvedExperiment, exceptions: Exception[]): ResolvedExperiment {
  return { ...experiment, quantization: { ...experiment.quantization, exceptions } };
}

/** What a run of these settings has chosen; null where it is of other ones. */
async function chosenBy(run: Run, { quantization }: ResolvedExperiment): Promise<Exception[] | null> {
  const then = (await run.readExperiment()).quantization;
  return isDeepStrictEqual(withoutChosen(then, quantization), withoutChosen(quantization, quantization))
    ? (then.exceptions ?? null)
    : null;
}

function told(exceptions: readonly Exception[], bits: number): RunEvent {
  const lines = exceptions.map(({ sites, layers, ...parts }) => {
    const what = Object.entries(parts).map(([part, settings]) => `${part} ${settings?.bits ?? ''}`.trim());
    const isSited = parts.activations !== undefined || parts.weights !== undefined;
    const where = isSited ? ` of ${typeof sites === 'string' ? sites : sites.join(', ')}` : '';
    return `${what.join(', ')}${where} in ${layersText(layers)}`;
  });
  const detail = `${bits.toFixed(3)} bits on average: ${lines.join('; ') || 'no exceptions'}`;
  return timed({ type: 'phase', phase: 'prepare', state: 'finished', detail });
}

function layersText(layers: Exception['layers']): string {
  if (typeof layers === 'string') return `layers ${layers}`;
  return layers.length === 1
    ? `layer ${layers.join()}`
    : `${formatCount(layers.length, 'layer')} (${layers.join(', ')})`;
}
