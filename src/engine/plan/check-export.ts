import { UserError } from '../../protocol/errors.ts';
import type { ExportCheck, ExportMeasured } from '../../protocol/export-plan.ts';
import type { CheckpointFormat, CheckpointToWrite } from '../checkpoint-export/format.ts';
import { computedAs, weightsRoundedAlone, withoutRounding } from '../checkpoint-export/network-forms.ts';
import { measurePerplexity, type PerplexityText, type WindowReader } from '../evaluate/perplexity.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { evaluationText, type Workbench } from './workbench.ts';

/** Enough to see a matrix that is turned or missing; a perplexity to compare with others comes from `evaluate`. */
const WINDOWS = 2;
const TOKENS = 512;

/** Formats without a choice of weights: they have the codes of the run. */
const WITH_CODES = new Set(['compressed-tensors', 'executorch']);

interface Written {
  readonly format: CheckpointFormat;
  readonly model: CheckpointToWrite;
  readonly folder: string;
  readonly scratch: string;
}

/** Reads what was written, and measures it beside what it was made of; null without a text to measure on. */
export async function checkExport(
  bench: Workbench,
  { format, model, folder, scratch }: Written,
  signal?: AbortSignal,
): Promise<ExportCheck | null> {
  const back = await format.readBack(folder, model, scratch);
  const text = await textOf(bench, signal);
  if (back === null || text === null) return null;
  const { cache, network, settings } = model;
  const isRounded = settings.weights === 'rounded' || WITH_CODES.has(settings.format);
  const weights = isRounded ? weightsRoundedAlone(cache, network) : withoutRounding(cache, network);
  const measure = (one: Network): Promise<number> => perplexityOf(one, text, signal);
  return {
    text: text.name,
    tokens: text.windows.reduce((sum, { length }) => sum + length - 1, 0),
    network: await measure(network),
    weights: await measure(weights),
    readBack: await measure(back),
  };
}

/** Perplexities of a run's network, and of the same weights as a target computes with them. */
export async function measureThere(
  bench: Workbench,
  network: Network,
  computed: (run: LayerQuantizers) => LayerQuantizers,
  signal?: AbortSignal,
): Promise<ExportMeasured | null> {
  const text = await textOf(bench, signal);
  if (text === null) return null;
  const there = computedAs(bench.cache, network, computed);
  const unrounded = withoutRounding(bench.cache, network);
  return {
    text: text.name,
    tokens: text.windows.reduce((sum, { length }) => sum + length - 1, 0),
    unrounded: await perplexityOf(unrounded, text, signal),
    network: await perplexityOf(network, text, signal),
    there: await perplexityOf(there, text, signal),
  };
}

/** The beginning of the run's first text; null where there is none, or where it is not there any more. */
export async function textOf(bench: Workbench, signal?: AbortSignal): Promise<PerplexityText | null> {
  const [task] = bench.experiment.evaluation.perplexity;
  if (!task) return null;
  const sequenceLength = Math.min(task.sequenceLength, TOKENS);
  const maxWindows = Math.min(task.maxWindows ?? WINDOWS, WINDOWS);
  try {
    return await evaluationText(bench.tokenizer, { ...task, sequenceLength, maxWindows }, signal);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

export async function perplexityOf(
  network: Network | WindowReader,
  text: PerplexityText,
  signal?: AbortSignal,
): Promise<number> {
  const measuring = measurePerplexity(network, text, signal);
  for (;;) {
    const next = await measuring.next();
    if (next.done) return next.value.perplexity;
  }
}
