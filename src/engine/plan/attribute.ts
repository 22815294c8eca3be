/** Where quantization costs the loss: by layer and by what is rounded there. */
import { type ResolvedExperiment, roundingOf } from '../../config/index.ts';
import type { RoundedPart } from '../../protocol/block.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { type AttributionCell, type AttributionFile, writeAttribution } from '../../runs/index.ts';
import { type Measured, measureExactly } from '../attribution/exact.ts';
import { GatedNetwork } from '../attribution/gated-network.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import {
  ATTRIBUTED_TOKENS,
  type Attributed,
  attributedSteps,
  estimated,
  followed,
  groupsOf,
} from './choose/attribution-step.ts';
import { budgetCurve } from './choose/budget-curve.ts';
import type { Executor } from './execute.ts';
import { runJob } from './job.ts';
import { gatedNetworks } from './networks.ts';
import type { AttributeOptions } from './options.ts';
import { phase } from './phases.ts';
import { Places } from './places.ts';
import { measuredWith, type Source, sourceAt, warningsOf } from './source.ts';
import type { Step } from './step.ts';
import { quantizedBench } from './steps/clips.ts';
import { givenStep, startStep } from './steps/maps.ts';
import { weightsStep } from './steps/weights.ts';
import { labelOf, type Workbench } from './workbench.ts';

/**
 * Attributes the loss of the quantized network to its roundings, on the calibration text. Without learned rotations it is
 * that of the rotations that learning starts from; weights that no run has rounded are rounded to nearest.
 * @throws UserError `rotation/not-used`, besides those of the model and of the text.
 */
export async function* attributeLoss(
  experiment: ResolvedExperiment,
  options: AttributeOptions,
): AsyncGenerator<RunEvent, AttributionFile> {
  const { rotations, record, runDir } = options;
  const source = rotations === undefined ? null : await sourceAt(experiment, rotations);
  const asked = measuredWith(experiment, source);
  const folder = record?.dir ?? runDir ?? null;
  const named = [runDir, source?.run?.dir, options.weights].filter((path) => path !== undefined);
  const setting = {
    job: 'inspect' as const,
    experiment: asked,
    options,
    places: new Places(folder, named, folder ?? asked.runs, record),
    run: folder,
    tell: record?.setProvenance.bind(record),
  };
  return yield* runJob(setting, async function* (_, executor) {
    yield* warningsOf(source);
    const cells = yield* attributed(executor, source, options);
    const curve = options.curve ? yield* budgetCurve(executor, source, cells) : null;
    const found = { ...cells, ...(curve && { curve }) };
    const path = executor.places.own('attribution');
    if (path !== null) {
      executor.places.check();
      writeAttribution(path, found);
    }
    return found;
  });
}

/** The same on a bench that is open. */
async function* attributed(
  executor: Executor,
  source: Source | null,
  { tokens, exact = false }: Pick<AttributeOptions, 'tokens' | 'exact'>,
): AsyncGenerator<RunEvent, AttributionFile> {
  const { bench, seconds, signal } = executor;
  const { calibration, maps, grids, clips, state, groups } = yield* lookedAt(executor, source, tokens);
  const weights = await weightsStep(bench.experiment, maps, calibration, { trained: null, grids, clips });
  const rounded = yield* keptWeights(executor, weights);
  if (weights && !rounded) yield nearestInstead(bench);
  const own = quantizedBench(executor, { trained: null, clips });
  const network = new GatedNetwork(bench.cache, gatedNetworks(own, state, rounded), signal);
  const found = yield* estimated(executor, network, groups);
  const measured = exact
    ? yield* phase(
        'statistics',
        seconds,
        () => followed(measureExactly(network, groups)),
        'each rounding switched',
      )
    : [];
  const method = roundingOf(bench.experiment.quantization)?.name ?? 'none';
  const how = weights && !rounded ? 'rtn' : method;
  return { version: 1, bits: labelOf(bench), weights: how, ...found, cells: withMeasured(found, measured) };
}

/** The maps of a network and the text that its loss is looked at on. */
async function* lookedAt(executor: Executor, source: Source | null, tokens = ATTRIBUTED_TOKENS) {
  const { experiment } = executor.bench;
  const given = source ? givenStep(experiment, source.rotations) : startStep(experiment);
  const steps = attributedSteps(experiment, executor.bench, given);
  const blocks = yield* executor.execute(steps.calibration);
  const state = yield* executor.execute(steps.maps);
  if (steps.clips) yield* executor.execute(steps.clips);
  return { ...steps, state, groups: groupsOf(blocks, tokens) };
}

/** The weights that a run has kept; null where they are rounded to nearest, or would have to be rounded first. */
async function* keptWeights(
  executor: Executor,
  weights: Step<RoundedSource | null> | null,
): AsyncGenerator<RunEvent, RoundedSource | null> {
  if (!weights?.find) return null;
  for (const input of weights.inputs) yield* executor.execute(input);
  return weights.find(executor, await executor.keyOf(weights));
}

function nearestInstead({ experiment }: Workbench): RunEvent {
  const title = roundingOf(experiment.quantization)?.title;
  return timed({
    type: 'warning',
    message: `No run has weights rounded by ${title} for these settings: here they are rounded to nearest, which costs more.`,
    hint: 'Name a run whose weights serve, such as that of optimize.',
  });
}

/** The estimates with what was measured beside them. */
function withMeasured({ cells }: Attributed, measured: readonly Measured[]): AttributionCell[] {
  const keyOf = ({ layer, part }: { readonly layer: number; readonly part: RoundedPart }) =>
    `${layer} ${part}`;
  const byKey = new Map(measured.map((one) => [keyOf(one), { rise: one.rise, fall: one.fall }]));
  return cells.map((cell) => {
    const own = byKey.get(keyOf(cell));
    return { ...cell, ...(own && { measured: own }) };
  });
}
