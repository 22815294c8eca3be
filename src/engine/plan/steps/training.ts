import { join } from 'node:path';
import { optionsOf, type ResolvedExperiment, trainingOf } from '../../../config/index.ts';
import { timed } from '../../../protocol/events.ts';
import { writingWork } from '../../generate/writing-work.ts';
import { writeText } from '../../generate/written-text.ts';
import { loadMethod } from '../../methods/index.ts';
import { type Checkpoint, withWeights } from '../../model/checkpoint.ts';
import { assertUnchanged } from '../../model/unchanged.ts';
import { quantizersOf } from '../../network/quantizers.ts';
import { KeptTraining } from '../../training/kept-training.ts';
import { digestOfBlocks } from '../digests.ts';
import { BLOCKS } from '../keepings.ts';
import { nameOfKey } from '../key-names.ts';
import { networkBytes } from '../memory.ts';
import { plainNetwork } from '../networks.ts';
import { phase } from '../phases.ts';
import type { Step, StepContext } from '../step.ts';
import { trainingBytes, trainingMemory } from '../training-memory.ts';
import type { Workbench } from '../workbench.ts';
import { type Blocks, SCAN } from './texts.ts';

/** The model with trained weights. */
export interface Trained {
  readonly checkpoint: Checkpoint;
  /** Key of the step that trained. */
  readonly key: string;
}

/**
 * Results of these steps take hours, and serve every run with the same settings: they lie beside the runs.
 * Whoever works under one key writes the same bytes, so that nobody need be alone.
 */
export const TRAINED = '.trained';

/** Weights that are trained before anything else; null where they stay those of the checkpoint. */
export async function trainingStep(experiment: ResolvedExperiment): Promise<Step<Trained> | null> {
  const descriptor = trainingOf(experiment);
  if (descriptor === null) return null;
  const { name } = descriptor;
  const method = await loadMethod(name, 'training');
  const options = optionsOf(experiment.training, name);
  const written = writtenStep(experiment, name, method.written(options));
  const { bits, groupSize, symmetric, clip } = experiment.quantization.weights;
  const step: Step<Trained> = {
    kind: 'train',
    name,
    version: method.version,
    inputs: [SCAN, written],
    spec: () => ({
      options,
      quantization: { ...experiment.quantization, weights: { bits, groupSize, symmetric, clip } },
      seed: experiment.calibration.seed,
    }),
    digest: ({ key }) => key,
    cost({ bench }) {
      const { config, sizeBytes } = bench.checkpoint;
      const text = { sequences: method.written(options), length: experiment.calibration.sequenceLength };
      const { quantizers } = quantizersOf(experiment.quantization, experiment.rotation, config);
      const { work, bytes } = method.cost({ config, text, quantizers, options });
      return { work, bytes: sizeBytes + bytes + trainingBytes(experiment, config, text) };
    },
    find: ({ bench }, key) => foundIn(bench, key),
    folder: folderOf,
    async *run(context) {
      const { bench, seconds, signal } = context;
      const { checkpoint, cache } = bench;
      const key = await context.keyOf(step);
      const work = {
        cache,
        teacher: plainNetwork(bench),
        blocks: context.of(written),
        quantizers: quantizersOf(experiment.quantization, experiment.rotation, checkpoint.config).quantizers,
        memory: trainingMemory(experiment, checkpoint.config),
        seed: experiment.calibration.seed,
        kept: keptIn(bench, key),
        options,
      };
      yield* phase('train', seconds, () => method.train(work, signal), descriptor.title);
      const trained = foundIn(bench, key);
      if (trained) return trained;
      throw new Error(`${name} left no trained weights`);
    },
  };
  return step;
}

/** Text that the full-precision network writes itself. */
function writtenStep(experiment: ResolvedExperiment, method: string, samples: number): Step<Blocks> {
  const { sequenceLength, seed } = experiment.calibration;
  const step: Step<Blocks> = {
    kind: 'train',
    name: 'written',
    version: 2,
    inputs: [SCAN],
    spec: () => ({ sequenceLength, seed, samples }),
    digest: digestOfBlocks,
    keeping: BLOCKS,
    folder: folderOf,
    cost({ bench }) {
      const text = { sequences: samples, length: sequenceLength };
      const network = { mode: 'plain', purpose: 'run' } as const;
      return {
        work: writingWork(bench.checkpoint.config, text),
        bytes: networkBytes(experiment, bench.checkpoint, network, sequenceLength),
      };
    },
    async *run(context) {
      const { bench } = context;
      const key = await context.keyOf(step);
      return yield* phase('generate', context.seconds, async function* () {
        const task = {
          ...{ samples, sequenceLength, seed, key },
          endOfSequence: bench.tokenizer.eosId,
          folder: folderOf(bench, key),
          check: () => assertUnchanged(bench.checkpoint.files),
        };
        const writing = writeText(plainNetwork(bench), task, context.signal);
        for (;;) {
          const next = await writing.next();
          if (next.done) return next.value;
          const of = samples;
          yield timed({
            type: 'training-progress',
            method,
            work: 'generate',
            done: next.value,
            of,
            loss: null,
          });
        }
      });
    },
  };
  return step;
}

/** The bench with the weights that networks after training read; the one at hand where nothing is trained. */
export function trainedBench(context: StepContext, trained: Step<Trained> | null): Workbench {
  const { bench } = context;
  return trained === null ? bench : { ...bench, checkpoint: context.of(trained).checkpoint };
}

function foundIn(bench: Workbench, key: string): Trained | null {
  const tensors = keptIn(bench, key).trained(bench.checkpoint.tensors);
  return tensors && { checkpoint: withWeights(bench.checkpoint, tensors), key };
}

function keptIn(bench: Workbench, key: string): KeptTraining {
  return new KeptTraining(folderOf(bench, key), key, () => assertUnchanged(bench.checkpoint.files));
}

function folderOf({ experiment }: Workbench, key: string): string {
  return join(experiment.runs, TRAINED, nameOfKey(key));
}
