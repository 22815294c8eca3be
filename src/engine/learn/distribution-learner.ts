import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { gradients } from '../autodiff/gradients.ts';
import { Graph } from '../graph/graph.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { expand, reshape } from '../graph/ops/shape.ts';
import { Program } from '../graph/program.ts';
import type { ProgramCache } from '../network/programs.ts';
import { clipGlobalNorm } from '../rotation/gradient-clip.ts';
import { learningRateAt, type Schedule } from '../rotation/schedule.ts';
import type { Runtime } from '../runtime/types.ts';
import type { CapturedActivations, CapturedRows } from './capture.ts';
import { stack, unstack } from './cayley-sgd.ts';
import { type LearnStep, NO_MEMORY, type RotationState } from './learner.ts';
import { type DistributionObjective, distributionLoss } from './objectives.ts';
import { type Moments, type RotationOptimizer, updateRotations } from './rotation-update.ts';

/** Rows of one step: enough for a steady gradient, few enough that a step is a few matrix products of this height. */
const ROWS_PER_STEP = 4096;

export interface DistributionOptions {
  readonly objective: DistributionObjective;
  readonly optimizer: RotationOptimizer;
  /** Largest norm of the gradient of each group, with Cayley SGD; null for no clipping. */
  readonly gradientClip: number | null;
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly learnR1: boolean;
  readonly learnR2: boolean;
}

/**
 * Learns rotations from captured activations alone, without the network: R1 on the normalised inputs of all layers,
 * every R2 on its layer's values, each on the same objective. A step costs a few products with the captured
 * rows; nothing is propagated through the network.
 */
export async function* learnFromActivations(
  cache: ProgramCache,
  start: RotationState,
  captured: CapturedActivations,
  options: DistributionOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
  const { steps } = options;
  const r1 =
    options.learnR1 && start.r1 ? await GroupLearner.create(cache, options, [start.r1], [captured.r1]) : null;
  const r2 =
    options.learnR2 && start.r2 ? await GroupLearner.create(cache, options, start.r2, captured.r2) : null;
  let state = start;
  for (let step = 0; step < steps; step++) {
    throwIfCancelled(signal);
    const began = performance.now();
    const learningRate = learningRateAt(options.schedule, options.learningRate, step, steps);
    const first = await r1?.step(step, learningRate, signal);
    const second = await r2?.step(step, learningRate, signal);
    state = { r1: r1?.rotations[0] ?? start.r1, r2: r2?.rotations ?? start.r2 };
    yield {
      step: step + 1,
      loss: (first ?? second)!.loss,
      tokens: (r1 ?? r2)!.rowsPerStep,
      gradientNorm: Math.hypot(first?.gradientNorm ?? 0, second?.gradientNorm ?? 0),
      learningRate,
      stepCap: { r1: first?.caps?.[0] ?? null, r2Max: second?.caps ? Math.max(...second.caps) : null },
      orthogonalityError: Math.max(first?.drift ?? 0, second?.drift ?? 0),
      seconds: (performance.now() - began) / 1000,
      state,
      memory: NO_MEMORY,
    };
  }
  return state;
}

interface GroupStep {
  /** Mean over the rotations of the group. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly drift: number;
  readonly caps: readonly number[] | null;
}

/** Rotations of one size, each with its own rows, moved together. */
class GroupLearner {
  readonly rowsPerStep: number;
  rotations: readonly Float32Array[];
  readonly #cache: ProgramCache;
  readonly #program: Program;
  readonly #options: DistributionOptions;
  readonly #data: readonly CapturedRows[];
  #moments: Moments | null = null;

  private constructor(
    cache: ProgramCache,
    program: Program,
    options: DistributionOptions,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ) {
    this.#cache = cache;
    this.#program = program;
    this.#options = options;
    this.#data = data;
    this.rotations = rotations;
    this.rowsPerStep = rowsPerStep(data);
  }

  static async create(
    cache: ProgramCache,
    options: DistributionOptions,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ): Promise<GroupLearner> {
    const { objective } = options;
    const shape = { count: rotations.length, n: data[0]!.width, rows: rowsPerStep(data) };
    const program = await cache.get(`${objective} ${JSON.stringify(shape)}`, (runtime) =>
      compileGradient(runtime, objective, shape),
    );
    return new GroupLearner(cache, program, options, rotations, data);
  }

  async step(step: number, learningRate: number, signal?: AbortSignal): Promise<GroupStep> {
    const { optimizer, gradientClip } = this.#options;
    const n = this.#data[0]!.width;
    const r = stack([this.rotations.length, n, n], this.rotations);
    const out = await this.#program.run({ r, x: this.#batch(step) }, signal);
    const gradients = unstack(out.gradient!, this.rotations.length);
    const limit = optimizer === 'cayley-sgd' ? gradientClip : null;
    const gradientNorm = clipGlobalNorm(gradients, limit ?? Number.POSITIVE_INFINITY);
    const at = { step, learningRate };
    const moved = await updateRotations(
      this.#cache,
      optimizer,
      this.rotations,
      gradients,
      this.#moments,
      at,
      signal,
    );
    this.rotations = moved.matrices;
    this.#moments = moved.moments;
    const losses = out.loss!.data as Float32Array;
    return {
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      gradientNorm,
      drift: moved.orthogonalityError,
      caps: moved.caps,
    };
  }

  /** Consecutive rows of the shuffled sample, around its end: a function of the step alone. */
  #batch(step: number): HostTensor {
    const [rows, n] = [this.rowsPerStep, this.#data[0]!.width];
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

function rowsPerStep(data: readonly CapturedRows[]): number {
  return Math.min(ROWS_PER_STEP, ...data.map(({ count }) => count));
}

/** r [N, n, n], x [N, rows, n] → loss [N] and its gradient [N, n, n]. */
function compileGradient(
  runtime: Runtime,
  objective: DistributionObjective,
  { count, n, rows }: { count: number; n: number; rows: number },
): Promise<Program> {
  const graph = new Graph();
  const r = graph.input('r', [count, n, n]);
  const loss = distributionLoss(matmul(graph.input('x', [count, rows, n]), r), objective);
  const ones = expand(reshape(graph.scalar(1), [1]), [count]);
  const [gradient] = gradients([[loss, ones]], [r]);
  return Program.compile(runtime, graph, { loss, gradient: gradient! });
}
