import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { Experiment } from '../../config/index.ts';
import { messageOf } from '../../protocol/errors.ts';
import { cellName } from '../../protocol/panels/words.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import type { ActivationsFile, Run } from '../../runs/index.ts';
import type { ExperimentChecker } from '../experiments/checker.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { RunSummaries } from '../runs/summaries.ts';
import { translate } from '../words.ts';
import { type LayerTreeData, layerTree } from './model.ts';
import { subjectOf } from './subject.ts';

/** The contents of the layer tree, read for one experiment file. */
export interface LayerSource {
  readonly file: string;
  readonly experiment: Experiment;
  /** Setting, such as `W4A4KV4`, or the name of the cell that is shown of a table. */
  readonly about: string;
  /** False for a table, whose rows have rotations of their own. */
  readonly hasSwitches: boolean;
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
  const { bitsLabel, parseExperiment, resolvePortable, scaledSeams, scalingOf } = await loadConfig();
  const text = await experimentText(file);
  const { experiment } = parseExperiment(text, file);
  if (experiment === null) return null;
  const isTable = experiment.matrix !== undefined;
  const { running } = parts.jobs;
  const { measured, cell, progress } = subjectOf({
    summaries: await summaries.ofExperiment(file),
    isTable,
    job: running?.kind === 'optimize' && running.experiment === file ? running : null,
    has: ({ run }, name) => existsSync(run.path(name)),
  });
  const activations = measured && (await readActivations(parts, measured.run));
  const { changedSettings } = await import('../experiments/lens-model.ts');
  const changed =
    measured === null || isTable ? [] : changedSettings(measured, experiment).map(({ path }) => path);
  const model = checker.model(file);
  // The first start of the worker takes its time, and may fail: the rest is shown meanwhile.
  if (model === null && activations === null) checker.requestOutline(file, text);
  const settings = isTable ? (cell?.experiment ?? null) : experiment;
  const named = cell && tableCell(cell.run.record);
  return {
    file,
    experiment,
    about: named ? cellName(named, translate) : isTable ? '' : bitsLabel(experiment.quantization),
    hasSwitches: !isTable,
    modelName: basename(resolvePortable(experiment, file).model),
    runDir: measured?.run.dir ?? null,
    // Other evaluations leave these measurements valid.
    changed: changed.filter((path) => !path.startsWith('evaluation')),
    data: layerTree({
      settings,
      scaled: settings ? scaledSeams(settings) : [],
      mixes: settings ? scalingOf(settings)?.mixes : undefined,
      model,
      activations,
      progress,
    }),
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
