/** What a checkpoint came from: a run goes on with the same, or not at all. */
import { z } from 'zod';
import { describeText, type ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import type { LossSummary } from '../../runs/index.ts';
import type { SeamState } from '../network/seams.ts';
import { digestOfBlocks, digestOfMaps } from './digests.ts';
import type { Workbench } from './workbench.ts';

const originSchema = z.object({
  /** Key of the step that learns. */
  key: z.string(),
  /** Digests of its inputs. */
  inputs: z.object({ model: z.string(), text: z.string(), start: z.string() }),
  /** Kernels, device and number of ranks, which decide the last bits only. */
  computed: z.string(),
});

export type CheckpointOrigin = z.output<typeof originSchema>;

const lossSchema = z.object({ first: z.number(), last: z.number() });

/** Origin and losses; null each where an earlier version wrote the file, or the text is damaged. */
export function parseCheckpointMetadata({ origin, loss }: Readonly<Record<string, string>>): {
  readonly origin: CheckpointOrigin | null;
  readonly loss: LossSummary | null;
} {
  return {
    origin: originSchema.safeParse(parseJson(origin)).data ?? null,
    loss: lossSchema.safeParse(parseJson(loss)).data ?? null,
  };
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

/** @param key of the step that learns. @param initial the maps that learning starts from. */
export async function originOf(
  { checkpoint, runtime, ranks }: Workbench,
  key: string,
  blocks: readonly Int32Array[],
  initial: SeamState,
): Promise<CheckpointOrigin> {
  const inputs = {
    model: await checkpoint.hash(),
    text: digestOfBlocks(blocks),
    start: digestOfMaps(initial),
  };
  const shared = ranks === undefined ? '' : ` by ${ranks.size} ranks`;
  return { key, inputs, computed: `${runtime.kernels} kernels on ${runtime.device.kind}${shared}` };
}

/** @throws UserError `runs/inputs-changed` with every input that differs. */
export function checkSameInputs(
  experiment: ResolvedExperiment,
  step: number,
  then: CheckpointOrigin,
  now: CheckpointOrigin,
): void {
  const words = {
    model: `the model ${experiment.model}`,
    text: `the calibration text ${experiment.calibration.text.map(describeText).join(', ')} (or the tokenizer, which gives other tokens for it)`,
    start: 'the rotations that learning starts from (another version of SpinQuant Lab draws others)',
  };
  const changed = (['model', 'text', 'start'] as const)
    .filter((input) => then.inputs[input] !== now.inputs[input])
    .map((input) => words[input]);
  if (changed.length === 0) return;
  throw new UserError(
    'runs/inputs-changed',
    `The run cannot go on from its checkpoint at step ${step}, because this is not what it was before: ${changed.join('; ')}.`,
    'Restore it, or leave --resume out to start a new run.',
  );
}

/** A warning where other kernels go on; null where the same do. */
export function otherKernels(then: CheckpointOrigin, now: CheckpointOrigin): RunEvent | null {
  if (then.computed === now.computed) return null;
  return timed({
    type: 'warning',
    message: `The steps so far were computed by ${then.computed}; from here on it is ${now.computed}.`,
    hint: 'The results are as good, but not the same bits as those of a run that never stopped.',
  });
}
