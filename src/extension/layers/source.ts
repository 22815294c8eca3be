import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Experiment } from '../../config/index.ts';
import { messageOf } from '../../protocol/errors.ts';
import type { ActivationsFile, Run } from '../../runs/index.ts';
import type { ExperimentChecker } from '../experiments/checker.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import { type LayerTreeData, layerTree } from './model.ts';

/** The contents of the layer tree, read for one experiment file. */
export interface LayerSource {
  readonly file: string;
  readonly experiment: Experiment;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** Name of the model's folder. */
  readonly modelName: string;
  /** The run whose activations are shown. */
  readonly runDir: string | null;
  /** Settings of the file that are others than those of that run. */
  readonly changed: readonly string[];
  readonly data: LayerTreeData;
}

/** @returns null while the file is not a valid experiment. */
export async function readLayerSource(
  parts: Parts,
  checker: ExperimentChecker,
  summaries: RunSummaries,
  file: string,
): Promise<LayerSource | null> {
  const { bitsLabel, parseExperiment, resolvePortable } = await loadConfig();
  const text = await experimentText(file);
  const { experiment } = parseExperiment(text, file);
  if (experiment === null) return null;
  const own = await summaries.ofExperiment(file);
  const measured = own.find(({ run }) => existsSync(run.path('activations'))) ?? null;
  const activations = measured && (await readActivations(parts, measured.run));
  const { changedSettings } = await import('../experiments/lens-model.ts');
  const changed = measured === null ? [] : changedSettings(measured, experiment).map(({ path }) => path);
  const model = checker.model(file) ?? (activations ? null : await checker.outline(file, text));
  const learned = own.find(({ run }) => existsSync(run.path('rotations')));
  const isLearning = parts.jobs.running?.kind === 'optimize' && parts.jobs.running.experiment === file;
  const progress = isLearning
    ? 'learning'
    : learned === undefined
      ? 'none'
      : learned.results === null
        ? 'learned'
        : 'merged';
  return {
    file,
    experiment,
    bits: bitsLabel(experiment.quantization),
    modelName: basename(resolvePortable(experiment, file).model),
    runDir: measured?.run.dir ?? null,
    // Other evaluations leave these measurements valid.
    changed: changed.filter((path) => !path.startsWith('evaluation')),
    data: layerTree({ experiment, model, activations, progress }),
  };
}

/** The last file read: it is large, and the tree is drawn again at every step of a run. */
let cached: { readonly path: string; readonly time: number; readonly file: ActivationsFile } | null = null;

async function readActivations({ log }: Parts, run: Run): Promise<ActivationsFile | null> {
  const path = run.path('activations');
  try {
    const time = statSync(path).mtimeMs;
    if (cached?.path !== path || cached.time !== time)
      cached = { path, time, file: await run.readActivations() };
    return cached.file;
  } catch (error) {
    log.warn(messageOf(error));
    return null;
  }
}
