/** Executors of a plan's steps without a runtime, for tests of their order and their keys. */
import { tmpdir } from 'node:os';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { Executor } from '../../src/engine/plan/execute.ts';
import { Places } from '../../src/engine/plan/places.ts';
import type { Step } from '../../src/engine/plan/step.ts';
import type { Workbench } from '../../src/engine/plan/workbench.ts';

/** These say what computes, and keys are made of them. */
export interface Machine {
  readonly kernels?: string;
  readonly device?: string;
  /** Hash of the model. */
  readonly model?: string;
}

/** A workbench without a runtime: enough to read texts and to draw rotations. */
export async function benchOf(experiment: ResolvedExperiment, machine: Machine = {}): Promise<Workbench> {
  const { kernels = 'composed', device = 'cpu', model } = machine;
  const checkpoint = await openCheckpoint(experiment.model);
  const hash = model === undefined ? {} : { hash: { value: async () => model } };
  const bench = {
    experiment,
    checkpoint: Object.create(checkpoint, hash) as Checkpoint,
    tokenizer: openTokenizer(experiment.model, checkpoint.config.vocabSize),
    runtime: { kernels, device: { kind: device } },
    scaling: null,
  };
  return bench as unknown as Workbench;
}

/** For steps that need no model. */
export const NO_BENCH = {
  checkpoint: { hash: async () => 'model', config: { attentionBias: false } },
  runtime: { kernels: 'composed', device: { kind: 'cpu' } },
} as unknown as Workbench;

/** An executor that keeps nothing. @param others runs whose results may serve. */
export function executorOf(bench: Workbench, others: readonly string[] = [], signal?: AbortSignal): Executor {
  return new Executor(bench, new Places(null, others, tmpdir()), {}, signal);
}

/** A step that adds a number to the sum of its inputs, and writes down that it ran. */
export function adding(
  ran: string[],
  name: string,
  by: number,
  inputs: readonly Step<number>[] = [],
): Step<number> {
  return {
    kind: 'measure',
    name,
    version: 1,
    inputs,
    spec: () => ({ by }),
    digest: (result) => String(result),
    async *run(context) {
      ran.push(name);
      return inputs.reduce((sum, input) => sum + context.of(input), by);
    },
  };
}
