import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import { learningRateAt } from '../calibration/schedule.ts';
import { concatenate } from '../calibration/tokens.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { Rng } from '../rotation/random.ts';
import { type Moments, stepAdamW } from './adam-w.ts';
import { divergenceOf } from './divergence.ts';
import type { KeptTraining } from './kept-training.ts';
import type { Student } from './student.ts';
import type { Teacher } from './teacher.ts';

export interface TrainingOptions {
  readonly steps: number;
  /** Sequences in one step. */
  readonly batchSize: number;
  /** η of the first step; it falls to 0 by a cosine. */
  readonly learningRate: number;
  /** Seed of the order of sequences. */
  readonly seed: number;
}

export interface TrainingTask extends TrainingOptions {
  readonly teacher: Teacher;
  readonly student: Student;
  readonly moments: Moments;
  /** Steps that the student and the moments have behind them. */
  readonly from: number;
  /** Token blocks of one length. */
  readonly blocks: readonly Int32Array[];
  readonly kept: KeptTraining;
}

export interface TrainedStep {
  /** Steps done, from 1. */
  readonly step: number;
  /** KL(teacher ‖ student) before the step, in nats: the mean over the tokens of its batch. */
  readonly loss: number;
}

/** A state is written when this share of the time since the last one pays for it, and every minute. */
const STATE_SHARE = 0.05;
const STATE_SECONDS = 60;

/**
 * Trains every weight of the student against the teacher's logits (LLM-QAT, Liu et al. 2023): AdamW without weight decay,
 * the learning rate along a cosine without warm-up. The state after a step is written now and then; from it another call
 * goes on to the same bits.
 */
export async function* trainWeights(
  cache: ProgramCache,
  task: TrainingTask,
  signal?: AbortSignal,
): AsyncGenerator<TrainedStep, void> {
  const { student, moments, steps, kept } = task;
  const orderOf = batches(task.blocks.length, task.batchSize, task.seed);
  let [lastTime, cost] = [performance.now(), 0];
  for (let step = task.from + 1; step <= steps; step++) {
    throwIfCancelled(signal);
    const batch = orderOf(step).map((index) => task.blocks[index]!);
    const loss = await accumulate(cache, task, batch, signal);
    const learningRate = learningRateAt('cosine', task.learningRate, step - 1, steps);
    stepAdamW(student.weights, await student.derivatives(signal), moments, { step, learningRate });
    expectFinite(loss, step);
    const since = (performance.now() - lastTime) / 1000;
    if (step < steps && (since >= STATE_SECONDS || since * STATE_SHARE >= cost)) {
      const began = performance.now();
      await kept.writeState({ step, weights: student.weights, moments });
      lastTime = performance.now();
      cost = (lastTime - began) / 1000;
    }
    yield { step, loss };
  }
  await kept.finish(student.weights);
}

/**
 * Sums the derivatives of Σ_tokens KL / batch over a batch, some sequences at a time.
 * @returns the mean KL of a token.
 */
export async function accumulate(
  cache: ProgramCache,
  { student, teacher }: Pick<TrainingTask, 'student' | 'teacher'>,
  batch: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<number> {
  const sequence = batch[0]?.length ?? 0;
  const atOnce = Math.max(1, Math.floor(student.memory.tokensAtOnce / sequence));
  const scaling = { batch: batch.length, logitElements: student.memory.logitElements };
  student.restart();
  let total = 0;
  for (let start = 0; start < batch.length; start += atOnce) {
    throwIfCancelled(signal);
    const some = batch.slice(start, start + atOnce);
    const [ids, shape] = [concatenate(some), { batch: some.length, sequence }];
    const teacherHidden = await teacher.hidden(ids, shape, signal);
    const passed = await student.forward(ids, shape, signal);
    const inputs = { teacherHead: teacher.head, teacherHidden, head: student.head, hidden: passed.hidden };
    const { sum, dhidden } = await divergenceOf(cache, inputs, scaling, student.headSum, signal);
    await student.backward(passed, dhidden, signal);
    total += sum;
  }
  return total / (batch.length * sequence);
}

/**
 * The sequences of each step: every one is seen once before any is seen again, in an order that the seed draws for each
 * pass.
 */
export function batches(count: number, size: number, seed: number): (step: number) => number[] {
  const orders = new Map<number, Int32Array>();
  const orderOf = (pass: number): Int32Array => {
    const known = orders.get(pass) ?? shuffled(count, new Rng(seed).split('order').split(pass));
    orders.set(pass, known);
    return known;
  };
  return (step) =>
    Array.from({ length: size }, (_, index) => {
      const place = (step - 1) * size + index;
      return orderOf(Math.floor(place / count))[place % count]!;
    });
}

function shuffled(count: number, rng: Rng): Int32Array {
  const order = Int32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = rng.integer(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

/** @throws UserError `training/diverged`. */
function expectFinite(loss: number, step: number): void {
  if (Number.isFinite(loss)) return;
  throw new UserError(
    'training/diverged',
    `The loss of training is ${loss} at step ${step}.`,
    'Use a smaller learningRate.',
  );
}
