import { throwIfCancelled } from '../../../protocol/errors.ts';
import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import { gradients } from '../../autodiff/gradients.ts';
import type { CapturedActivations, CapturedRows } from '../../calibration/capture.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, div, minimum, mul, sqrt } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { expand, reshape } from '../../graph/ops/shape.ts';
import { Program } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Runtime } from '../../runtime/types.ts';
import { cayleyUpdate, driftOf, keptOrthogonal, stack, unstack } from './cayley-sgd.ts';
import { type LearnStep, NO_MEMORY, type RotationState } from './learner.ts';
import { lieAdamStep, stepInputs, stepTensors } from './lie-adam.ts';
import { type DistributionObjective, distributionLoss } from './objectives.ts';
import type { RotationOptimizer } from './rotation-update.ts';
import { learningRateAt, type Schedule } from './schedule.ts';

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

/** Rotations of one size, each with its own rows, moved together by one program. */
class GroupLearner {
  readonly rowsPerStep: number;
  readonly #cache: ProgramCache;
  readonly #program: Program;
  readonly #options: DistributionOptions;
  readonly #data: readonly CapturedRows[];
  /** r [N, n, n] and LieAdam's moving averages, by program input name. */
  #state: Readonly<Record<'r' | 'm' | 'v', HostTensor>>;

  private constructor(
    cache: ProgramCache,
    program: Program,
    options: DistributionOptions,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ) {
    const [count, n] = [rotations.length, data[0]!.width];
    this.#cache = cache;
    this.#program = program;
    this.#options = options;
    this.#data = data;
    this.rowsPerStep = rowsPerStep(data);
    this.#state = {
      r: stack([count, n, n], rotations),
      m: float32([count, n, n], new Float32Array(count * n * n)),
      v: float32([count, 1, 1], new Float32Array(count)),
    };
  }

  static async create(
    cache: ProgramCache,
    options: DistributionOptions,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ): Promise<GroupLearner> {
    const shape = { count: rotations.length, n: data[0]!.width, rows: rowsPerStep(data) };
    const { objective, optimizer, gradientClip } = options;
    const key = `${objective} ${optimizer} ${gradientClip} ${JSON.stringify(shape)}`;
    const program = await cache.get(key, (runtime) => compileStep(runtime, options, shape));
    return new GroupLearner(cache, program, options, rotations, data);
  }

  get rotations(): Float32Array[] {
    return unstack(this.#state.r, this.#data.length);
  }

  async step(step: number, learningRate: number, signal?: AbortSignal): Promise<GroupStep> {
    const rates = stepTensors(step, learningRate);
    const out = await this.#program.run({ ...this.#state, ...rates, x: this.#batch(step) }, signal);
    let [next, drift] = [out.next!, out.drift!.data[0] as number];
    if (this.#options.optimizer === 'cayley-sgd') {
      ({ next, error: drift } = await keptOrthogonal(this.#cache, next, drift, signal));
    }
    this.#state = { r: next, m: out.nextM ?? this.#state.m, v: out.nextV ?? this.#state.v };
    const losses = out.loss!.data as Float32Array;
    return {
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      gradientNorm: out.gradientNorm!.data[0] as number,
      drift,
      caps: out.cap ? Array.from(out.cap.data as Float32Array) : null,
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

/** One step as one graph: r [N, n, n], x [N, rows, n] → loss [N], and the rotations after the optimizer's step. */
function compileStep(
  runtime: Runtime,
  { objective, optimizer, gradientClip }: DistributionOptions,
  { count, n, rows }: { count: number; n: number; rows: number },
): Promise<Program> {
  const graph = new Graph();
  const r = graph.input('r', [count, n, n]);
  const rates = stepInputs(graph);
  const loss = distributionLoss(matmul(graph.input('x', [count, rows, n]), r), objective);
  const ones = expand(reshape(graph.scalar(1), [1]), [count]);
  const g = gradients([[loss, ones]], [r])[0]!;
  const gradientNorm = sqrt(reduceSum(mul(g, g), [0, 1, 2], false));
  if (optimizer === 'cayley-sgd') {
    const clipped = gradientClip === null ? g : mul(g, clipFactor(gradientNorm, gradientClip));
    const { next, cap } = cayleyUpdate(r, clipped, rates.rate);
    return Program.compile(runtime, graph, { loss, gradientNorm, next, cap, drift: driftOf(next) });
  }
  const moments = { m: graph.input('m', [count, n, n]), v: graph.input('v', [count, 1, 1]) };
  const moved = lieAdamStep(r, g, moments, rates);
  const { m: nextM, v: nextV } = moved.state;
  return Program.compile(runtime, graph, {
    loss,
    gradientNorm,
    next: moved.r,
    nextM,
    nextV,
    drift: driftOf(moved.r),
  });
}

/** min(1, limit / norm), finite where the gradient vanishes. */
function clipFactor(norm: Value, limit: number): Value {
  const { graph } = norm;
  return minimum(graph.scalar(1), div(graph.scalar(limit), add(norm, graph.scalar(1e-6))));
}
