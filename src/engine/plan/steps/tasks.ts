import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type MeasuredTask,
  measuredTasks,
  type ResolvedExperiment,
  taskNamed,
  taskTitle,
} from '../../../config/index.ts';
import { writingNow } from '../../../disk/faults.ts';
import { UserError } from '../../../protocol/errors.ts';
import { type RunEvent, timed, type Variant } from '../../../protocol/events.ts';
import { measuredAt } from '../../../protocol/precision.ts';
import {
  type KeptTask,
  keptTaskSchema,
  readVersion1,
  type TaskResult,
  writeJson,
} from '../../../runs/index.ts';
import { type EncodedTask, encodeTask } from '../../evaluate/tasks/encode.ts';
import { readQuestions } from '../../evaluate/tasks/read-questions.ts';
import { scoreTask } from '../../evaluate/tasks/score.ts';
import { taskWork } from '../../evaluate/work.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { DEFAULT_MEMORY } from '../../network/memory-plan.ts';
import type { Network } from '../../network/network.ts';
import { addWork, type Cost } from '../../network/work.ts';
import { jsonKeeping } from '../keepings.ts';
import { networkBytes } from '../memory.ts';
import { phase } from '../phases.ts';
import { digestOf, type Step, type StepContext } from '../step.ts';
import { deployedWork, evaluatedSettings, type Quantized, variantNetworks } from './measures.ts';
import { SCAN } from './texts.ts';

/**
 * Scores of every task of the experiment, in its order; null where it names none. Each task and variant is a step of its
 * own, whose scores are kept in the run folder: a run that was stopped measures at most one of them again.
 * @param quantized the network to measure beside, or instead of, that of full precision; null for none.
 */
export function tasksStep(
  experiment: ResolvedExperiment,
  variants: readonly Variant[],
  quantized: Quantized | null,
): Step<TaskResult[]> | null {
  const asked = measuredTasks(experiment.evaluation.tasks);
  if (asked.length === 0) return null;
  const questions = asked.map(questionsStep);
  const measured = variants.flatMap((variant) => {
    const networkOf = sharedNetwork(experiment, variant, quantized);
    return asked.map((task, i) => ({
      task,
      variant,
      step: taskStep(task, variant, questions[i]!, networkOf),
    }));
  });
  return {
    kind: 'measure',
    name: 'tasks',
    version: 1,
    inputs: measured.map(({ step }) => step),
    spec: () => null,
    digest: (results) => digestOf(results),
    async *run(context) {
      return asked.map((task) => {
        const of = (variant: Variant): KeptTask | null => {
          const found = measured.find((one) => one.task === task && one.variant === variant);
          return found ? context.of(found.step) : null;
        };
        const [full, deployed] = [of('full-precision'), of('quantized')];
        return {
          task: task.task,
          questions: (full ?? deployed)?.questions ?? 0,
          limit: task.limit,
          ...measuredAt(experiment.evaluation.precision),
          fullPrecision: full?.scores ?? null,
          quantized: deployed?.scores ?? null,
        };
      });
    },
  };
}

/** Reads and encodes the questions of a task. */
function questionsStep(asked: MeasuredTask): Step<EncodedTask> {
  const title = taskTitle(asked.task);
  return {
    kind: 'text',
    name: `questions ${asked.task}`,
    version: 1,
    inputs: [SCAN],
    spec: () => asked,
    digest: digestOfQuestions,
    async *run({ bench, seconds, signal }) {
      const { tokenizer, checkpoint } = bench;
      const positions = checkpoint.config.maxPositions;
      const read = async () =>
        encodeTask(asked.task, await readQuestions(asked, signal), tokenizer, positions, signal);
      const task = yield* phase('tokenize', seconds, read, title);
      if (task.cut > 0) yield cutWarning(title, task, positions);
      return task;
    },
  };
}

function cutWarning(title: string, { cut, questions }: EncodedTask, positions: number): RunEvent {
  return timed({
    type: 'warning',
    message: `${cut} of ${questions.length} questions of ${title} have more tokens than the ${positions} positions of the model: they were cut at their beginning.`,
    hint: 'lm-evaluation-harness cuts them alike.',
  });
}

function digestOfQuestions({ task, questions }: EncodedTask): string {
  const about = questions.map(({ gold, requests }) => [gold, requests.map(({ bytes }) => bytes)]);
  const ids = questions.flatMap(({ requests }) => requests.flatMap(({ input, labels }) => [input, labels]));
  return digestOf([task, about], ids);
}

const SCORES = jsonKeeping(keptTaskSchema);

interface SharedNetwork {
  /** Steps that the network needs. */
  readonly inputs: readonly Step<unknown>[];
  /** Settings that decide what it computes. */
  readonly spec: unknown;
  of(context: StepContext): Network;
}

/** The tasks of a job share the network of a variant, and its prepared weights. */
function sharedNetwork(
  experiment: ResolvedExperiment,
  variant: Variant,
  quantized: Quantized | null,
): SharedNetwork {
  const isQuantized = variant === 'quantized' && quantized !== null;
  const known = new WeakMap<StepContext, Network>();
  return {
    inputs: isQuantized
      ? [quantized.maps, quantized.trained, quantized.weights, quantized.clips].filter(
          (step) => step !== null,
        )
      : [],
    spec: { variant, ...evaluatedSettings(experiment, isQuantized ? quantized : null) },
    of(context) {
      const make = variantNetworks(context, [variant], quantized)[variant];
      const network = known.get(context) ?? make?.();
      if (network === undefined) throw new Error(`there is no ${variant} network`);
      known.set(context, network);
      return network;
    },
  };
}

function taskStep(
  { task, limit }: MeasuredTask,
  variant: Variant,
  questions: Step<EncodedTask>,
  network: SharedNetwork,
): Step<KeptTask> {
  const file = `${task}.${variant}.json`;
  const step: Step<KeptTask> = {
    kind: 'measure',
    name: `${task} ${variant}`,
    version: 1,
    inputs: [questions, ...network.inputs],
    spec: () => network.spec,
    digest: ({ scores }) => digestOf(scores),
    keeping: SCORES,
    cost: (context) => taskCost(context, context.of(questions), variant),
    async find({ places }, key) {
      for (const folder of [places.own('tasks'), ...places.others('tasks', key)]) {
        const kept = folder === null ? null : await readKept(join(folder, file));
        if (kept?.key === key) return kept;
      }
      return null;
    },
    async *run(context) {
      const { seconds, signal } = context;
      const key = await context.keyOf(step);
      const began = performance.now();
      const about = { task, variant };
      const encoded = context.of(questions);
      const detail = `${taskTitle(task)}, ${variant}`;
      const scoring = () => scored(about, network.of(context), encoded, signal);
      const scores = yield* phase('evaluate', seconds, scoring, detail);
      const own = { questions: encoded.questions.length, seconds: (performance.now() - began) / 1000 };
      const kept: KeptTask = { version: 1, key, scores, ...own };
      keep(context, file, kept);
      yield timed({ type: 'task', ...about, scores, limit, ...own });
      return kept;
    },
  };
  return step;
}

/** Scores of a network, with its progress as events. */
async function* scored(
  about: Readonly<Record<'task', MeasuredTask['task']> & Record<'variant', Variant>>,
  network: Network,
  questions: EncodedTask,
  signal: AbortSignal | undefined,
) {
  const scoring = scoreTask(network, questions, taskNamed(about.task).normalizes, signal);
  for (;;) {
    const next = await scoring.next();
    if (next.done) return next.value;
    yield timed({ type: 'task-progress', ...about, ...next.value });
  }
}

function taskCost({ bench }: StepContext, questions: EncodedTask, variant: Variant): Cost {
  const { experiment, checkpoint } = bench;
  const isQuantized = variant === 'quantized';
  const work = taskWork(checkpoint.config, questions, isQuantized);
  const network = { mode: isQuantized ? 'merged' : 'plain', purpose: 'run' } as const;
  return {
    work: isQuantized ? addWork(deployedWork(bench), work) : work,
    bytes: networkBytes(experiment, checkpoint, network, DEFAULT_MEMORY.tokensAtOnce),
  };
}

function keep({ bench, places }: StepContext, file: string, kept: KeptTask): void {
  const folder = places.own('tasks');
  if (folder === null) return;
  places.check();
  assertUnchanged(bench.checkpoint.files);
  writingNow(folder, () => mkdirSync(folder, { recursive: true }));
  writeJson(join(folder, file), kept);
}

/** Scores that cannot be read are measured again. */
async function readKept(path: string): Promise<KeptTask | null> {
  try {
    return await readVersion1(path, keptTaskSchema, 'the scores of a task');
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
