import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { gradients } from '../autodiff/gradients.ts';
import { Graph } from '../graph/graph.ts';
import { mul, sqrt } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reduceSum } from '../graph/ops/reduce.ts';
import { expand, reshape } from '../graph/ops/shape.ts';
import { Program } from '../graph/program.ts';
import type { ProgramCache } from '../network/programs.ts';
import { learningRateAt, type Schedule } from '../rotation/schedule.ts';
import type { Runtime } from '../runtime/types.ts';
import type { CapturedActivations, CapturedRows } from './capture.ts';
import { driftOf } from './cayley-sgd.ts';
import type { LearnStep, RotationState } from './learner.ts';
import { biasCorrections, lieAdamStep } from './lie-adam.ts';
import { type DistributionObjective, distributionLoss } from './objectives.ts';

/** Rows of one step: enough for a steady gradient, few enough that a step is a few matrix products of this height. */
const ROWS_PER_STEP = 4096;

export interface DistributionOptions {
  readonly objective: DistributionObjective;
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly learnR1: boolean;
  readonly learnR2: boolean;
}

/**
 * Learns rotations from captured activations alone, without the network: R1 on the normalised inputs of all layers,
 * every R2 on its layer's values, each by LieAdam on the same objective. A step costs a few products with the captured
 * rows; nothing is propagated through the network.
 */
export async function* learnFromActivations(
  cache: ProgramCache,
  start: RotationState,
  captured: CapturedActivations,
  options: DistributionOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
  const { objective, steps } = options;
  const r1 =
    options.learnR1 && start.r1
      ? await GroupLearner.create(cache, objective, [start.r1], [captured.r1])
      : null;
  const r2 =
    options.learnR2 && start.r2 ? await GroupLearner.create(cache, objective, start.r2, captured.r2) : null;
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
      stepCap: { r1: null, r2Max: null },
      orthogonalityError: Math.max(first?.drift ?? 0, second?.drift ?? 0),
      seconds: (performance.now() - began) / 1000,
      state,
    };
  }
  return state;
}

interface GroupStep {
  /** Mean over the rotations of the group. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly drift: number;
}

/** Rotations of one size, each with its own rows, moved together by one program. */
class GroupLearner {
  readonly rowsPerStep: number;
  readonly #program: Program;
  readonly #data: readonly CapturedRows[];
  readonly #n: number;
  #state: Record<'r' | 'm' | 'v', HostTensor>;

  private constructor(program: Program, rotations: readonly Float32Array[], data: readonly CapturedRows[]) {
    const count = rotations.length;
    this.#n = data[0]!.width;
    this.#program = program;
    this.#data = data;
    this.rowsPerStep = rowsPerStep(data);
    const dims = [count, this.#n, this.#n];
    const r = new Float32Array(count * this.#n ** 2);
    rotations.forEach((rotation, index) => {
      r.set(rotation, index * rotation.length);
    });
    this.#state = {
      r: float32(dims, r),
      m: float32(dims, new Float32Array(r.length)),
      v: float32([count, 1, 1], new Float32Array(count)),
    };
  }

  static async create(
    cache: ProgramCache,
    objective: DistributionObjective,
    rotations: readonly Float32Array[],
    data: readonly CapturedRows[],
  ): Promise<GroupLearner> {
    const shape = { count: rotations.length, n: data[0]!.width, rows: rowsPerStep(data) };
    const program = await cache.get(`${objective} ${JSON.stringify(shape)}`, (runtime) =>
      compileStep(runtime, objective, shape),
    );
    return new GroupLearner(program, rotations, data);
  }

  get rotations(): Float32Array[] {
    const size = this.#n ** 2;
    const all = this.#state.r.data as Float32Array;
    return Array.from({ length: all.length / size }, (_, index) =>
      all.slice(index * size, (index + 1) * size),
    );
  }

  async step(step: number, learningRate: number, signal?: AbortSignal): Promise<GroupStep> {
    const scalar = (value: number) => float32([], Float32Array.of(value));
    const { correction1, correction2 } = biasCorrections(step + 1);
    const scalars = {
      rate: scalar(learningRate),
      correction1: scalar(correction1),
      correction2: scalar(correction2),
    };
    const out = await this.#program.run({ ...this.#state, ...scalars, x: this.#batch(step) }, signal);
    this.#state = { r: out.nextR!, m: out.nextM!, v: out.nextV! };
    const losses = out.loss!.data as Float32Array;
    return {
      loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
      gradientNorm: out.gradientNorm!.data[0] as number,
      drift: out.drift!.data[0] as number,
    };
  }

  /** Consecutive rows of the shuffled sample, around its end: a function of the step alone. */
  #batch(step: number): HostTensor {
    const [rows, n] = [this.rowsPerStep, this.#n];
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

function compileStep(
  runtime: Runtime,
  objective: DistributionObjective,
  { count, n, rows }: { count: number; n: number; rows: number },
): Promise<Program> {
  const graph = new Graph();
  const r = graph.input('r', [count, n, n]);
  const m = graph.input('m', [count, n, n]);
  const v = graph.input('v', [count, 1, 1]);
  const loss = distributionLoss(matmul(graph.input('x', [count, rows, n]), r), objective);
  const ones = expand(reshape(graph.scalar(1), [1]), [count]);
  const [g] = gradients([[loss, ones]], [r]);
  const scalars = {
    rate: graph.input('rate', []),
    correction1: graph.input('correction1', []),
    correction2: graph.input('correction2', []),
  };
  const next = lieAdamStep(r, g!, { m, v }, scalars);
  const gradientNorm = sqrt(reduceSum(mul(g!, g!), [0, 1, 2], false));
  return Program.compile(runtime, graph, {
    loss,
    gradientNorm,
    nextR: next.r,
    nextM: next.state.m,
    nextV: next.state.v,
    drift: driftOf(next.r),
  });
}
