import type { ResolvedExperiment } from '../../../config/index.ts';
import { type RunEvent, timed, type Variant } from '../../../protocol/events.ts';
import { measuredAt } from '../../../protocol/precision.ts';
import type { ActivationsFile, PerplexityResult } from '../../../runs/index.ts';
import { activationsSchema, perplexitiesSchema, writeActivations } from '../../../runs/index.ts';
import { observeActivations } from '../../calibration/statistics/activations.ts';
import { observeWeights } from '../../calibration/statistics/weights.ts';
import { statisticsWork } from '../../calibration/statistics/work.ts';
import { evaluateTexts, type VariantNetworks } from '../../evaluate/texts.ts';
import { textsWork } from '../../evaluate/work.ts';
import type { Precision } from '../../graph/lower/tiles.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import type { Network } from '../../network/network.ts';
import type { SeamState } from '../../network/seams.ts';
import { addWork, type Cost, NO_WORK, prepareWeights, tokensOf, type Work } from '../../network/work.ts';
import type { Clips } from '../clips/found.ts';
import { jsonKeeping } from '../keepings.ts';
import { networkBytes } from '../memory.ts';
import { deployedNetwork, evaluationPrecision, observed, plainNetwork } from '../networks.ts';
import { panelsOf } from '../panels.ts';
import { phase } from '../phases.ts';
import { digestOf, type Step, type StepContext } from '../step.ts';
import { labelOf, type Workbench } from '../workbench.ts';
import { quantizedBench } from './clips.ts';
import { type Blocks, sizeOfText, type Texts } from './texts.ts';
import type { Trained } from './training.ts';
import type { Weights } from './weights.ts';

/** A measurement is read by no other step. */
const MEASURED = { kind: 'measure', version: 1, digest: (result: unknown) => digestOf(result) } as const;

const PERPLEXITIES = jsonKeeping(perplexitiesSchema);
const STATISTICS = jsonKeeping(activationsSchema);

/** What a quantized network is made of. */
export interface Quantized {
  readonly maps: Step<SeamState>;
  readonly weights: Weights | null;
  /** Weights that were trained; null for those of the checkpoint. */
  readonly trained: Step<Trained> | null;
  /** Clip ratios that were searched; null for those of the settings. */
  readonly clips: Clips | null;
  /** True where it multiplies in whole numbers, false where in float32, absent where in what is faster. */
  readonly integer?: boolean | undefined;
}

/**
 * Settings that decide what a quantized network computes, beside its maps and weights.
 * @param integer true where it multiplies in whole numbers, false where in float32; absent where in what is faster.
 */
function deployedSettings(
  { quantization, rotation, scaling }: ResolvedExperiment,
  integer?: boolean,
): object {
  const { learning: _, ...rotations } = rotation;
  return { quantization, rotations, scaling, ...(integer !== undefined && { integer }) };
}

/** Settings that decide what an evaluation's network computes, beside its variant, maps and weights. */
export function evaluatedSettings(experiment: ResolvedExperiment, quantized: Quantized | null): object {
  return {
    ...measuredAt(experiment.evaluation.precision),
    ...(quantized && { quantized: deployedSettings(experiment, quantized.integer) }),
  };
}

/** The networks of these variants, made when they are asked for. */
export function variantNetworks(
  context: StepContext,
  variants: readonly Variant[],
  quantized: Quantized | null,
): VariantNetworks {
  const { bench } = context;
  const precision = evaluationPrecision(bench.experiment);
  return {
    ...(variants.includes('full-precision') && { 'full-precision': () => plainNetwork(bench, precision) }),
    ...(quantized && { quantized: () => quantizedNetwork(context, quantized, precision) }),
  };
}

/** The quantized network, of steps that have run. @param precision see {@link deployedNetwork}. */
export function quantizedNetwork(context: StepContext, quantized: Quantized, precision?: Precision): Network {
  const { maps, weights, integer } = quantized;
  const own = quantizedBench(context, quantized);
  const rounded = weights && context.of(weights);
  const network = deployedNetwork(own, context.of(maps), rounded, integer, precision);
  const panels = panelsOf(context, quantized);
  if (panels) network.keepPanels(panels);
  return network;
}

/**
 * Perplexity of every text.
 * @param quantized the network to measure beside, or instead of, that of full precision; null for none.
 */
export function perplexityStep(
  experiment: ResolvedExperiment,
  variants: readonly Variant[],
  evaluation: Step<Texts>,
  quantized: Quantized | null,
): Step<PerplexityResult[]> {
  return {
    ...MEASURED,
    name: 'perplexity',
    keeping: PERPLEXITIES,
    inputs: [quantized?.maps, evaluation, quantized?.trained, quantized?.weights, quantized?.clips].filter(
      (step) => step != null,
    ),
    spec: () => ({ variants, ...evaluatedSettings(experiment, quantized) }),
    cost: (context) => textsCost(context, context.of(evaluation), variants),
    run(context) {
      const { seconds, signal } = context;
      const networks = variantNetworks(context, variants, quantized);
      return phase('evaluate', seconds, async function* () {
        const results = yield* evaluateTexts(context.of(evaluation), networks, signal);
        return results.map((result) => ({ ...result, ...measuredAt(experiment.evaluation.precision) }));
      });
    },
  };
}

/** Texts through the networks of variants, of which the quantized one prepares its weights first. */
function textsCost({ bench }: StepContext, texts: Texts, variants: readonly Variant[]): Cost {
  const { experiment, checkpoint } = bench;
  const works = variants.map((variant) => {
    const work = textsWork(checkpoint.config, texts, variant === 'quantized');
    return variant === 'quantized' ? addWork(deployedWork(bench), work) : work;
  });
  const tokens = texts.reduce(
    (sum, { windows }) => sum + tokensOf({ sequences: windows.length, length: windows[0]?.length ?? 0 }),
    0,
  );
  const mode = variants.includes('quantized') ? ('merged' as const) : ('plain' as const);
  return {
    work: addWork(...works),
    bytes: networkBytes(experiment, checkpoint, { mode, purpose: 'run' }, tokens),
  };
}

/** How the weights of the deployed network are made: those that a method rounded are there. */
export function deployedWork({ experiment, checkpoint, rounding }: Workbench): Work {
  if (rounding?.round) return NO_WORK;
  const searched = experiment.quantization.weights.clip && experiment.quantization.weights.bits < 16;
  return prepareWeights(checkpoint.config, { mapped: true, searched });
}

/**
 * Statistics of activations and weights before and after the maps, written to the run folder if there is one. Versions
 * before had those of activations alone, under the same keys: their results still serve.
 * @param trained the weights of both sides; null for those of the checkpoint.
 */
export function statisticsStep(
  experiment: ResolvedExperiment,
  maps: Step<SeamState>,
  {
    calibration,
    trained,
    clips,
  }: Pick<Quantized, 'trained' | 'clips'> & { readonly calibration: Step<Blocks> },
): Step<ActivationsFile> {
  return {
    ...MEASURED,
    name: 'statistics',
    isLeaders: true,
    keeping: STATISTICS,
    inputs: [maps, calibration, trained, clips].filter((step) => step !== null),
    // Versions before looked at keys with what is taken out of them.
    spec: () => ({ ...deployedSettings(experiment), offset: experiment.quantization.keys.offset }),
    cost(context) {
      const { checkpoint } = context.bench;
      const text = sizeOfText(context.of(calibration));
      return {
        work: statisticsWork(checkpoint.config, text),
        bytes: networkBytes(experiment, checkpoint, { mode: 'plain', purpose: 'run' }, text.length),
      };
    },
    run: (context) =>
      phase('statistics', context.seconds, () => {
        const bench = quantizedBench(context, { trained, clips });
        return measureStatistics(context, bench, context.of(maps), context.of(calibration));
      }),
  };
}

async function* measureStatistics(
  { places, signal }: StepContext,
  bench: Workbench,
  maps: SeamState,
  blocks: Blocks,
): AsyncGenerator<RunEvent, ActivationsFile> {
  const began = performance.now();
  const network = observed(bench, maps);
  const sites = await observeActivations(bench.cache, network, blocks, signal);
  const file: ActivationsFile = {
    version: 1,
    bits: labelOf(bench),
    axis: AXIS,
    sites,
    weights: await observeWeights(bench.cache, network, signal),
  };
  const path = places.own('activations');
  places.check();
  assertUnchanged(bench.checkpoint.files);
  if (path !== null) writeActivations(path, file);
  yield timed({
    type: 'statistics',
    file: path ?? '',
    layers: bench.checkpoint.config.layers,
    sites: sites.length,
    seconds: (performance.now() - began) / 1000,
  });
  return file;
}

const AXIS =
  'Histograms count activations in equally wide bins from min to max, in units of the activation; before and after share the axis.';
