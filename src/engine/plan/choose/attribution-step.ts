/** This step finds what each rounding costs the loss; exceptions are chosen by it. */
import { type ResolvedExperiment, roundingOf } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import { formatCount } from '../../../protocol/text.ts';
import { type AttributionCell, type AttributionFile, attributionSchema } from '../../../runs/index.ts';
import { type Estimates, estimate } from '../../attribution/estimate.ts';
import { GatedNetwork, predicted, type Sequences, sequencesOf } from '../../attribution/gated-network.ts';
import { attributionWork } from '../../attribution/work.ts';
import type { ModelConfig } from '../../model/config.ts';
import { preparedBytes } from '../../network/memory-plan.ts';
import type { SeamState } from '../../network/seams.ts';
import { type TextSize, tokensOf } from '../../network/work.ts';
import type { Methods } from '../experiment-methods.ts';
import { scaled } from '../experiment-plan.ts';
import { jsonKeeping } from '../keepings.ts';
import { networkBytes } from '../memory.ts';
import { gatedNetworks, quantizersSpec } from '../networks.ts';
import { phase } from '../phases.ts';
import { digestOf, type Step, type StepContext } from '../step.ts';
import { clipsStep, quantizedBench } from '../steps/clips.ts';
import { startStep } from '../steps/maps.ts';
import { type Blocks, firstBlocks, sizeOfText, textSteps } from '../steps/texts.ts';

/** Tokens of the calibration text that the loss is looked at on, unless asked otherwise. */
export const ATTRIBUTED_TOKENS = 8192;
/** Tokens that go through a layer at once. */
const TOKENS_AT_ONCE = 2048;

/** The attribution of a network whose weights are rounded to nearest. */
export type Attributed = Pick<AttributionFile, 'tokens' | 'loss' | 'cells'>;

const ATTRIBUTED = jsonKeeping<Attributed>(attributionSchema.pick({ tokens: true, loss: true, cells: true }));

/** The steps that make the network whose loss is attributed. @param rotations those that it begins with. */
export function attributedSteps(
  experiment: ResolvedExperiment,
  methods: Methods,
  rotations: Step<SeamState>,
) {
  const { calibration } = textSteps(experiment);
  // Whoever looks at a network does not want to train one first.
  const { maps, grids } = scaled(experiment, methods, rotations, { calibration, trained: null });
  return { calibration, maps, grids, clips: clipsStep(experiment, maps, calibration) };
}

/**
 * The attribution that exceptions are chosen by: of the network with the rotations that learning starts from, and with
 * weights to nearest. It does not depend on how they are rounded later.
 * @param experiment without exceptions.
 */
export function attributionStep(experiment: ResolvedExperiment, methods: Methods): Step<Attributed> {
  const { calibration, maps, clips } = attributedSteps(experiment, methods, startStep(experiment));
  const { sequenceLength } = experiment.calibration;
  const blocks = firstBlocks(calibration, sequencesIn(ATTRIBUTED_TOKENS, sequenceLength));
  return {
    kind: 'measure',
    name: 'attribution',
    version: 1,
    inputs: [blocks, maps, ...(clips ? [clips] : [])],
    spec: () => quantizersSpec(experiment),
    digest: digestOf,
    keeping: ATTRIBUTED,
    cost: (context) => costOf(context, experiment, sizeOfText(context.of(blocks))),
    async *run(context) {
      const own = quantizedBench(context, { trained: null, clips });
      const networks = gatedNetworks(own, context.of(maps), null);
      const network = new GatedNetwork(own.cache, networks, context.signal);
      const groups = groupsOf(context.of(blocks), ATTRIBUTED_TOKENS);
      const isRounded = roundingOf(experiment.quantization) !== null;
      return yield* estimated(context, network, groups, isRounded ? ', weights to nearest' : '');
    },
  };
}

function costOf(
  { bench: { checkpoint } }: StepContext,
  experiment: ResolvedExperiment,
  text: TextSize,
): ReturnType<NonNullable<Step<unknown>['cost']>> {
  const { config } = checkpoint;
  const { bits, clip } = experiment.quantization.weights;
  const network = { mode: 'merged', purpose: 'run' } as const;
  const tokens = tokensOf(text);
  return {
    work: attributionWork(config, text, clip && bits < 16),
    // Of both networks, the one at full precision has weights of its own, and residuals wait for the way back.
    bytes:
      networkBytes(experiment, checkpoint, network, tokens) + preparedBytes(config) + kept(config, tokens),
  };
}

/** Bytes of the residuals before each layer and behind the last. */
function kept({ layers, hiddenSize }: ModelConfig, tokens: number): number {
  return (layers + 1) * Math.min(tokens, TOKENS_AT_ONCE) * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
}

/** Estimates the cost of every rounding. @param how more words on how the network is made. */
export async function* estimated(
  { seconds }: Pick<StepContext, 'seconds'>,
  network: GatedNetwork,
  groups: readonly Sequences[],
  how = '',
): AsyncGenerator<RunEvent, Attributed> {
  const tokens = groups.reduce((sum, group) => sum + predicted(group), 0);
  const detail = `attribution on ${formatCount(tokens, 'token')}${how}`;
  const found = yield* phase('statistics', seconds, () => followed(estimate(network, groups)), detail);
  return { tokens, loss: found.loss, cells: cellsOf(network, found) };
}

function cellsOf(network: GatedNetwork, { cells }: Estimates): AttributionCell[] {
  return cells.map(({ layer, part, rise, share }) => ({
    ...{ layer, part, bits: network.bits(layer, part) },
    ...{ rise, share },
  }));
}

/** Whole sequences up to so many tokens, at least one; several go through a layer together. */
export function groupsOf(blocks: Blocks, tokens: number): Sequences[] {
  const length = blocks[0]?.length ?? 1;
  const wanted = blocks.slice(0, sequencesIn(tokens, length));
  const batch = sequencesIn(TOKENS_AT_ONCE, length);
  return Array.from({ length: Math.ceil(wanted.length / batch) }, (_, group) =>
    sequencesOf(wanted.slice(group * batch, (group + 1) * batch)),
  );
}

const sequencesIn = (tokens: number, length: number): number => Math.max(1, Math.floor(tokens / length));

/** The result of work whose progress is not told. */
export async function followed<T>(work: AsyncGenerator<number, T>): Promise<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
  }
}
