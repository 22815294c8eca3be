import { hasLearnedRotation, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed, type Variant } from '../../protocol/events.ts';
import { openRun, type PerplexityResult } from '../../runs/index.ts';
import type { EvaluateOptions, EvaluateResult } from '../api.ts';
import type { PerplexityText } from '../evaluate/perplexity.ts';
import { evaluateTexts, labelOf, type VariantNetworks } from '../evaluate/texts.ts';
import type { ModelConfig } from '../model/config.ts';
import { scanForNonFinite } from '../model/scan.ts';
import type { RoundedSource } from '../network/rounded-weights.ts';
import { readRotations } from '../rotation/rotation-file.ts';
import type { RotationState } from '../transform/learning/learner.ts';
import { deployedNetwork, plainNetwork, startingRotations } from './networks.ts';
import { type PhaseSeconds, phase } from './phases.ts';
import { provenanceOf } from './provenance.ts';
import { withRounded } from './rounding.ts';
import { deviceStatement, evaluationTexts, openWorkbench, type Workbench } from './workbench.ts';

/** Measures perplexity at full precision and quantized. See {@link Engine.evaluateExperiment}. */
export async function* evaluateExperiment(
  experiment: ResolvedExperiment,
  options: EvaluateOptions,
): AsyncGenerator<RunEvent, EvaluateResult> {
  const { signal } = options;
  const seconds = {};
  const bench = yield* phase('load', seconds, () => openWorkbench(experiment, options), experiment.model);
  try {
    options.record?.setProvenance(await provenanceOf(bench));
    yield timed({
      type: 'run-started',
      job: 'evaluate',
      run: options.record?.dir ?? options.runDir ?? null,
      bits: labelOf(bench),
      runtime: bench.runtime.description,
      resumedFromStep: 0,
    });
    yield* deviceStatement(bench);
    const variants = options.variants ?? (['full-precision', 'quantized'] as const);
    const rotations = variants.includes('quantized') ? await chooseRotations(bench, options) : null;
    yield* phase('scan', seconds, () => scanForNonFinite(bench.checkpoint, signal));
    const texts = yield* phase('tokenize', seconds, () => evaluationTexts(bench, signal));
    const perplexity = yield* measureRounded(bench, options, { texts, variants, rotations, seconds });
    if (options.runDir !== undefined) await addToRun(options.runDir, perplexity);
    return { perplexity, bits: labelOf(bench), device: bench.runtime.device };
  } finally {
    await bench.close();
  }
}

interface Measurement {
  readonly texts: readonly PerplexityText[];
  readonly variants: readonly Variant[];
  readonly rotations: RotationState | null;
  readonly seconds: PhaseSeconds;
}

/** Weights of the run that is named serve again, if they are those of this experiment. */
function measureRounded(
  bench: Workbench,
  options: EvaluateOptions,
  { texts, variants, rotations, seconds }: Measurement,
): AsyncGenerator<RunEvent, PerplexityResult[]> {
  const { signal } = options;
  const plain = {
    ...(variants.includes('full-precision') && { 'full-precision': () => plainNetwork(bench) }),
  };
  const measure = (networks: VariantNetworks): AsyncGenerator<RunEvent, PerplexityResult[]> =>
    phase('evaluate', seconds, () => evaluateTexts(texts, networks, signal));
  if (!rotations) return measure(plain);
  const runs = [options.runDir, options.rotations].filter((path) => path !== undefined);
  const places = { runs, scratch: options.record?.dir ?? bench.experiment.runs };
  const use = (rounded: RoundedSource | null): AsyncGenerator<RunEvent, PerplexityResult[]> =>
    measure({ ...plain, quantized: () => deployedNetwork(bench, rotations, rounded) });
  return withRounded(bench, rotations, places, use, seconds, signal);
}

/**
 * Rotations by the experiment: those marked `learned` come from the file or run folder given, others from the seed.
 * @throws UserError when learned ones are asked for and none are given.
 */
export async function chooseRotations(
  bench: Workbench,
  given: { readonly rotations?: string | undefined; readonly runDir?: string | undefined },
): Promise<RotationState> {
  const { experiment, checkpoint } = bench;
  const { r1, r2 } = experiment.rotation;
  const drawn = startingRotations(experiment, checkpoint.config);
  if (!hasLearnedRotation(experiment.rotation)) return drawn;
  const path =
    given.rotations ?? (given.runDir !== undefined ? (await openRun(given.runDir)).path('rotations') : null);
  if (path === null) {
    throw new UserError(
      'rotation/not-learned-yet',
      `${experiment.source.file} marks rotations "learned", and none are given.`,
      'Run optimize first, or name a file or run folder with --rotations.',
    );
  }
  const learned = await readRotations(path, sizesOf(checkpoint.config));
  return {
    r1: r1 === 'learned' ? required(learned.r1, 'R1', path) : drawn.r1,
    r2: r2 === 'learned' ? required(learned.r2, 'R2', path) : drawn.r2,
  };
}

function sizesOf({ hiddenSize: hidden, headDim, layers }: ModelConfig) {
  return { hidden, headDim, layers };
}

function required<T>(value: T | null, name: string, path: string): T {
  if (value !== null) return value;
  throw new UserError(
    'rotation/missing',
    `${path} holds no ${name}, which the experiment marks "learned".`,
    `Learn ${name}, or set rotation.${name.toLowerCase()} to another kind.`,
  );
}

/** Puts new measurements beside, or in place of, those that a run has under the same names. */
async function addToRun(runDir: string, fresh: readonly PerplexityResult[]): Promise<void> {
  const run = await openRun(runDir);
  const results = await run.readResults();
  const byName = new Map(results.perplexity.map((result) => [result.name, result]));
  for (const result of fresh) {
    const before = byName.get(result.name);
    byName.set(result.name, {
      ...result,
      fullPrecision: result.fullPrecision ?? before?.fullPrecision ?? null,
      quantized: result.quantized ?? before?.quantized ?? null,
    });
  }
  run.writeResults({ ...results, perplexity: [...byName.values()] });
}
