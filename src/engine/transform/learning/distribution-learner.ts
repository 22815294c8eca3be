import type { SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { gradients } from '../../autodiff/gradients.ts';
import type { CapturedActivations } from '../../calibration/capture.ts';
import type { CapturedRows } from '../../calibration/reservoir.ts';
import { learningRateAt, type Schedule } from '../../calibration/schedule.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, div, minimum, mul, sqrt } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { expand, reshape } from '../../graph/ops/shape.ts';
import type { Program, Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { type SeamState, seamsIn } from '../../network/seams.ts';
import { cayleyUpdate, driftOf, keptOrthogonal, scalarOf, stack, unstack } from './cayley-sgd.ts';
import { type LearnStep, NO_MEMORY } from './learner.ts';
import { lieAdamStep, stepInputs, stepTensors } from './lie-adam.ts';
import { type DistributionObjective, distributionLoss } from './objectives.ts';
import type { RotationOptimizer } from './rotation-update.ts';

/** Rows of one step: enough for a steady gradient, few enough that a step is a few matrix products of this height. */
export const ROWS_PER_STEP = 4096;

export interface DistributionOptions {
  readonly objective: DistributionObjective;
  readonly optimizer: RotationOptimizer;
  /** Largest norm of the gradient of each group, with Cayley SGD; null for no clipping. */
  readonly gradientClip: number | null;
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** Seams whose maps are learned. */
  readonly seams: readonly SeamName[];
  /** Channels of the residual that share a scale, which then are judged apart; 0 or absent: whole tokens. */
  readonly residualGroup?: number;
  /** Maps of values in a layer, which share the rows of a step; 1 where absent. */
  readonly mapsOfLayer?: number;
  /** Seams whose quantizers have a symmetric grid. */
  readonly symmetric?: readonly SeamName[];
}

/**
 * Learns rotations from captured activations alone, without the network: the maps of each seam on the rows that its
 * quantizers read, all on the same objective. A step costs a few products with the captured rows; nothing is propagated
 * through the network.
 */
export async function* learnFromActivations(
  cache: ProgramCache,
  start: SeamState,
  captured: CapturedActivations,
  options: DistributionOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  const { steps } = options;
  const learners = await groupLearners(cache, start, captured, options);
  let state = start;
  for (let step = 0; step < steps; step++) {
    throwIfCancelled(signal);
    const began = performance.now();
    const learningRate = learningRateAt(options.schedule, options.learningRate, step, steps);
    const moved: [SeamName, GroupStep][] = [];
    for (const [seam, learner] of learners)
      moved.push([seam, await learner.step(step, learningRate, signal)]);
    state = { ...start, ...Object.fromEntries(learners.map(([seam, { rotations }]) => [seam, rotations])) };
    yield {
      step: step + 1,
      loss: moved[0]?.[1].loss ?? Number.NaN,
      tokens: learners[0]?.[1].rowsPerStep ?? 0,
      gradientNorm: Math.hypot(...moved.map(([, one]) => one.gradientNorm)),
      learningRate,
      stepCaps: Object.fromEntries(moved.flatMap(([seam, { caps }]) => (caps ? [[seam, caps]] : []))),
      orthogonalityError: Math.max(0, ...moved.map(([, { drift }]) => drift)),
      seconds: (performance.now() - began) / 1000,
      state,
      memory: NO_MEMORY,
    };
  }
  return state;
}

/** One for each seam that is learned and has a start. */
async function groupLearners(
  cache: ProgramCache,
  start: SeamState,
  captured: CapturedActivations,
  options: DistributionOptions,
): Promise<[SeamName, GroupLearner][]> {
  const learners: [SeamName, GroupLearner][] = [];
  for (const seam of seamsIn(start)) {
    const [maps, rows] = [start[seam], captured[seam]];
    if (!options.seams.includes(seam) || !maps || !rows) continue;
    const group = seam === 'residual' ? (options.residualGroup ?? 0) : 0;
    const grid = { group, mirrored: options.symmetric?.includes(seam) ?? false };
    const sharing = seam === 'value' ? (options.mapsOfLayer ?? 1) : 1;
    learners.push([seam, await GroupLearner.create(cache, options, grid, sharing, maps, rows)]);
  }
  return learners;
}

interface GroupStep {
  /** Mean over the rotations of the group. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly drift: number;
  readonly caps: readonly number[] | null;
}

/** Rotations of one size, each with its own rows, moved together by one program. */
class GroupLearner {
  readonly rowsPerStep: number;
  readonly #cache: ProgramCache;
  readonly #program: Program<StepOutputs>;
  readonly #options: DistributionOptions;
  readonly #data: readonly CapturedRows[];
  /** r [N, n, n] and LieAdam's moving averages, by program input name. */
  #state: Readonly<Record<'r' | 'm' | 'v', Reals>>;

  private constructor(
    cache: ProgramCache,
    program: Program<StepOutputs>,
    options: DistributionOptions,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
    rows: number,
  ) {
    const [count, n] = [rotations.length, widthOf(data)];
    this.#cache = cache;
    this.#program = program;
    this.#options = options;
    this.#data = data;
    this.rowsPerStep = rows;
    this.#state = {
      r: stack([count, n, n], rotations),
      m: float32([count, n, n], new Float32Array(count * n * n)),
      v: float32([count, 1, 1], new Float32Array(count)),
    };
  }

  static async create(
    cache: ProgramCache,
    options: DistributionOptions,
    grid: Pick<StepSpec, 'group' | 'mirrored'>,
    sharing: number,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ): Promise<GroupLearner> {
    const rows = rowsPerStep(data, sharing);
    const shape = { count: rotations.length, n: widthOf(data), rows, ...grid };
    const { objective, optimizer, gradientClip } = options;
    const program = await cache.get(DISTRIBUTION_STEP, { objective, optimizer, gradientClip, ...shape });
    return new GroupLearner(cache, program, options, rotations, data, rows);
  }

  get rotations(): Float32Array[] {
    return unstack(this.#state.r, this.#data.length);
  }

  async step(step: number, learningRate: number, signal?: AbortSignal): Promise<GroupStep> {
    const rates = stepTensors(step, learningRate);
    const out = await this.#program.run({ ...this.#state, ...rates, x: this.#batch(step) }, signal);
    let [next, drift] = [out.next, scalarOf(out.drift)];
    if (this.#options.optimizer === 'cayley-sgd') {
      ({ next, error: drift } = await keptOrthogonal(this.#cache, next, drift, signal));
    }
    this.#state = { r: next, m: out.nextM ?? this.#state.m, v: out.nextV ?? this.#state.v };
    const losses = out.loss.data;
    return {
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      gradientNorm: scalarOf(out.gradientNorm),
      drift,
      caps: out.cap ? Array.from(out.cap.data) : null,
    };
  }

  /** Consecutive rows of the shuffled sample, around its end: a function of the step alone. */
  #batch(step: number): Reals {
    const [rows, n] = [this.rowsPerStep, widthOf(this.#data)];
    const x = new Float32Array(this.#data.length * rows * n);
    this.#data.forEach((data, group) => {
      for (let i = 0; i < rows; i++) {
        const row = (step * rows + i) % data.count;
        x.set(data.rows.subarray(row * n, (row + 1) * n), (group * rows + i) * n);
      }
    });
    return float32([this.#data.length, rows, n], x);
  }
}

/** @param sharing maps that share the rows of a layer. */
function rowsPerStep(data: readonly CapturedRows[], sharing: number): number {
  return Math.min(Math.ceil(ROWS_PER_STEP / sharing), ...data.map(({ count }) => count));
}

const widthOf = (data: readonly CapturedRows[]): number => data[0]?.width ?? 0;

interface StepSpec extends Pick<DistributionOptions, 'objective' | 'optimizer' | 'gradientClip'> {
  readonly count: number;
  readonly n: number;
  readonly rows: number;
  /** Channels that are judged together; 0 for whole rows. */
  readonly group: number;
  /** True where a row is judged beside its mirror image. */
  readonly mirrored: boolean;
}

type StepOutputs = Record<'loss' | 'gradientNorm' | 'next' | 'drift', Reals> &
  Partial<Record<'cap' | 'nextM' | 'nextV', Reals>>;

/** One step as one graph: r [N, n, n], x [N, rows, n] → loss [N], and the rotations after the optimizer's step. */
const DISTRIBUTION_STEP: ProgramKind<StepSpec, StepOutputs> = {
  name: 'distribution-step',
  build({ objective, optimizer, gradientClip, count, n, rows, group, mirrored }) {
    const graph = new Graph();
    const r = graph.input('r', [count, n, n]);
    const rates = stepInputs(graph);
    const turned = matmul(graph.input('x', [count, rows, n]), r);
    const width = group || n;
    const tokens = reshape(turned, [count, (rows * n) / width, width]);
    const loss = distributionLoss(tokens, objective, mirrored);
    const ones = expand(reshape(graph.scalar(1), [1]), [count]);
    const [g] = gradients([[loss, ones]], [r]);
    if (!g) throw new Error(`the objective ${objective} does not depend on the rotation`);
    const gradientNorm = sqrt(reduceSum(mul(g, g), [0, 1, 2], false));
    const shared = { loss, gradientNorm, cap: null, nextM: null, nextV: null };
    if (optimizer === 'cayley-sgd') {
      const clipped = gradientClip === null ? g : mul(g, clipFactor(gradientNorm, gradientClip));
      const { next, cap } = cayleyUpdate(r, clipped, rates.rate);
      return { graph, outputs: { ...shared, next, cap, drift: driftOf(next) } };
    }
    const moments = { m: graph.input('m', [count, n, n]), v: graph.input('v', [count, 1, 1]) };
    const { r: next, state } = lieAdamStep(r, g, moments, rates);
    return { graph, outputs: { ...shared, next, nextM: state.m, nextV: state.v, drift: driftOf(next) } };
  },
};

/** min(1, limit / norm), finite where the gradient vanishes. */
function clipFactor(norm: Value, limit: number): Value {
  const { graph } = norm;
  return minimum(graph.scalar(1), div(graph.scalar(limit), add(norm, graph.scalar(1e-6))));
}
