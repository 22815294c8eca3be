/** Downloads what an experiment names on the Hub, before a job begins. */
import { existsSync } from 'node:fs';
import { type Purpose, pathOf, type ResolvedExperiment, type TextSource } from '../../config/index.ts';
import type { Wanted } from '../../hub/download.ts';
import { expectModel, expectText, hubAddress } from '../../hub/locate.ts';
import { describeAddress, parseDatasetAddress, parseModelName } from '../../hub/names.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed } from '../../protocol/events.ts';
import { readsCalibration } from './check/check-texts.ts';
import { loadExperiment } from './check/load.ts';

/** @throws ExperimentError where what was downloaded does not fit the experiment; UserError `hub/…`. */
export async function* fetchSources(
  experiment: ResolvedExperiment,
  purpose: Purpose,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, ResolvedExperiment> {
  const wanted = wantedOf(experiment, purpose);
  if (wanted.length === 0) return withoutRemarks(experiment);
  for (const one of wanted) yield* fetchOne(one, signal);
  // A run that is resumed may have outlived its file.
  if (!existsSync(experiment.source.file)) return withoutRemarks(experiment);
  const { source } = await loadExperiment(experiment.source.file, purpose);
  return withoutRemarks({ ...experiment, source });
}

/** What is not downloaded now, the job does not need. */
function withoutRemarks(experiment: ResolvedExperiment): ResolvedExperiment {
  const { source } = experiment;
  const warnings = source.warnings.filter(({ code }) => code !== 'hub/not-downloaded');
  return { ...experiment, source: { ...source, warnings } };
}

/** @param name of a model or the address of a data set. @returns its folder, or its files. */
export async function* fetchNamed(
  name: string,
  split: string | null,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, string[]> {
  const address = parseDatasetAddress(name) ?? parseModelName(name);
  if (address === null)
    throw new UserError(
      'hub/name',
      `${name} is no name on the Hub.`,
      'Write ORG/NAME for a model, hf://datasets/ORG/NAME/FOLDER/SPLIT for a data set, or name an experiment file.',
    );
  yield* fetchOne({ address, split }, signal);
  return address.kind === 'model' ? [expectModel(name)] : expectText(name, split);
}

/** What the job reads from the Hub, each once. */
function wantedOf(experiment: ResolvedExperiment, purpose: Purpose): Wanted[] {
  const { model, calibration, evaluation } = experiment;
  const texts: TextSource[] = [
    ...(readsCalibration((read) => read(experiment), purpose) ? calibration.text : []),
    ...(purpose === 'inspect' ? [] : evaluation.perplexity.map(({ text }) => text)),
  ];
  const named = [
    { address: hubAddress('model', model), split: null },
    ...texts.map((text) => ({
      address: hubAddress('dataset', pathOf(text)),
      split: typeof text === 'string' ? null : text.split,
    })),
  ];
  const found = new Map<string, Wanted>();
  for (const { address, split } of named)
    if (address !== null) found.set(`${describeAddress(address)} ${split}`, { address, split });
  return [...found.values()];
}

/** A phase begins when there is something to download: to ask for a commit is none. */
async function* fetchOne(wanted: Wanted, signal?: AbortSignal): AsyncGenerator<RunEvent, void> {
  const { download } = await import('../../hub/download.ts');
  const name = describeAddress(wanted.address);
  const about = { type: 'phase', phase: 'download', detail: name } as const;
  let began: number | null = null;
  for await (const event of download(wanted, { signal })) {
    if (event.type === 'warning') {
      yield timed(event);
      continue;
    }
    if (began === null) yield timed({ ...about, state: 'started' });
    began ??= performance.now();
    yield timed({ ...event, type: 'download-progress', name });
  }
  if (began !== null)
    yield timed({ ...about, state: 'finished', seconds: (performance.now() - began) / 1000 });
}
