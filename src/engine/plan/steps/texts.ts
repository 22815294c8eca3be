import type { ResolvedExperiment } from '../../../config/index.ts';
import type { PerplexityText } from '../../evaluate/perplexity.ts';
import { scanForNonFinite } from '../../model/scan.ts';
import type { TextSize } from '../../network/work.ts';
import { digestOfBlocks } from '../digests.ts';
import { phase } from '../phases.ts';
import { derivedStep, digestOf, type Step, type StepContext } from '../step.ts';
import { calibrationBlocks, evaluationTexts } from '../workbench.ts';

export type Blocks = readonly Int32Array[];
export type Texts = readonly PerplexityText[];

const TEXT = { kind: 'text', version: 1 } as const;

/** Looks at every weight, so that nothing is computed with a damaged file. */
export const SCAN: Step<null> = {
  ...TEXT,
  name: 'scan',
  inputs: [],
  spec: () => null,
  digest: () => '',
  async *run({ bench, seconds, signal }) {
    yield* phase('scan', seconds, () => scanForNonFinite(bench.checkpoint, signal));
    return null;
  },
};

interface TextSteps {
  readonly calibration: Step<Blocks>;
  readonly evaluation: Step<Texts>;
}

/** Each text is read when it is needed. */
export function textSteps(experiment: ResolvedExperiment): TextSteps {
  return {
    calibration: textStep('calibration', experiment.calibration, digestOfBlocks, ({ bench, signal }) =>
      calibrationBlocks(bench, signal),
    ),
    evaluation: textStep('evaluation', experiment.evaluation, digestOfTexts, ({ bench, signal }) =>
      evaluationTexts(bench, signal),
    ),
  };
}

/** Everything is read before any work, so that a text that is too short is found at once. */
export function textStepsAtOnce(experiment: ResolvedExperiment): TextSteps {
  const { calibration, evaluation } = experiment;
  const both = textStep<{ readonly blocks: Blocks; readonly texts: Texts }>(
    'texts',
    { calibration, evaluation },
    ({ blocks, texts }) => digestOfBlocks(blocks) + digestOfTexts(texts),
    async ({ bench, signal }) => ({
      blocks: await calibrationBlocks(bench, signal),
      texts: await evaluationTexts(bench, signal),
    }),
  );
  return {
    calibration: derivedStep('text', 'calibration', both, ({ blocks }) => blocks, digestOfBlocks),
    evaluation: derivedStep('text', 'evaluation', both, ({ texts }) => texts, digestOfTexts),
  };
}

function textStep<T>(
  name: string,
  spec: unknown,
  digest: (result: T) => string,
  read: (context: StepContext) => Promise<T>,
): Step<T> {
  const run = (context: StepContext) => phase('tokenize', context.seconds, () => read(context));
  return { ...TEXT, name, inputs: [SCAN], spec: () => spec, digest, run };
}

/** How much text blocks of one length are. */
export function sizeOfText(blocks: Blocks): TextSize {
  return { sequences: blocks.length, length: blocks[0]?.length ?? 0 };
}

/** The first sequences of a text, for what looks at no more. */
export function firstBlocks(calibration: Step<Blocks>, count: number): Step<Blocks> {
  return derivedStep('text', 'first', calibration, (blocks) => blocks.slice(0, count), digestOfBlocks);
}

/** A text of which no more is known than its digest: what rests on it is looked for, and not made. */
export function knownText(digest: string): Step<Blocks> {
  return {
    ...{ ...TEXT, name: 'kept', inputs: [] },
    spec: () => null,
    digest: () => digest,
    // biome-ignore lint/correctness/useYield: nothing is read.
    async *run() {
      return [];
    },
  };
}

function digestOfTexts(texts: Texts): string {
  return digestOf(
    texts.map(({ name }) => name),
    texts.flatMap(({ windows }) => windows),
  );
}
