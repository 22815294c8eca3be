/** In what runs differ: their settings, what they were made with, and what came out. */
import { type Experiment, experimentDifferences } from '../../../config/index.ts';
import { fill } from '../../../protocol/panels/fill.ts';
import type { ComparedLine, Comparison } from '../../../protocol/panels/results.ts';
import type { ResultsStrings } from '../../../protocol/panels/results-strings.ts';
import { OVERFLOW } from '../../../protocol/perplexity.ts';
import { formatBytes, formatSeconds } from '../../../protocol/text.ts';
import type { ResultsSource } from './state.ts';

type Words = ResultsStrings['comparison'];
type Layers = ReadonlyMap<string, readonly (number | null)[]>;

/** Null for fewer than two runs. @param layers mean SQNR of each layer by run folder. */
export function compareRuns(
  sources: readonly ResultsSource[],
  strings: ResultsStrings,
  layers: Layers,
): Comparison | null {
  if (sources.length < 2) return null;
  const { comparison: words } = strings;
  return {
    runs: sources.map(({ name }) => name),
    settings: settingLines(sources.map(({ experiment }) => experiment)),
    provenance: provenanceLines(sources, strings).filter(differs),
    outcome: outcomeLines(sources, words),
    layers: layerLines(sources, layers, words),
  };
}

const differs = ({ values }: ComparedLine): boolean => new Set(values).size > 1;

/** Every key in which one differs from the first, in the order of the schema. */
function settingLines(experiments: readonly Experiment[]): ComparedLine[] {
  const [first, ...others] = experiments;
  if (!first) return [];
  const found = others.map((other) => experimentDifferences(first, other));
  const own = new Map(found.flat().map(({ path, a }) => [path, a]));
  return [...own].map(([path, a]) => ({
    title: path,
    values: [a, ...found.map((ofOne) => valueAt(ofOne, path, a))].map(settingText),
  }));
}

function valueAt(differences: readonly { path: string; b: unknown }[], path: string, same: unknown): unknown {
  const found = differences.find((difference) => difference.path === path);
  return found === undefined ? same : found.b;
}

/** A value as the experiment file writes it. */
function settingText(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function provenanceLines(sources: readonly ResultsSource[], strings: ResultsStrings): ComparedLine[] {
  const { comparison: words } = strings;
  const of = (title: string, read: (source: ResultsSource) => string | undefined | null): ComparedLine => ({
    title,
    values: sources.map((source) => read(source) ?? null),
  });
  return [
    of(words.version, ({ provenance }) => provenance?.productVersion),
    of(words.runtime, ({ provenance }) => provenance?.ortVersion),
    of(words.kernels, ({ provenance }) => provenance?.kernels),
    of(words.threads, ({ provenance }) => provenance && String(provenance.threads)),
    of(words.device, ({ provenance }) => provenance && deviceOf(provenance)),
    of(words.platform, ({ provenance }) => provenance?.platform),
    of(words.model, ({ model }) => model),
    of(words.modelHash, ({ provenance }) => provenance?.model.sha256.slice(0, 16)),
    of(words.rotations, ({ results: { rotationsOf } }) => {
      if (rotationsOf === undefined) return words.ownRotations;
      const { run, seed } = rotationsOf;
      const seedText = seed === null ? [] : [fill(strings.seedOf, seed)];
      return [run ?? strings.rotationsOfFile, ...seedText].join(' · ');
    }),
  ];
}

function deviceOf({ device, adapter }: NonNullable<ResultsSource['provenance']>): string {
  return adapter === null ? device : `${device}, ${adapter}`;
}

/** Texts by name, each with both networks; then how it was come by. Losses of other objectives are other lines. */
function outcomeLines(sources: readonly ResultsSource[], words: Words): ComparedLine[] {
  const texts = new Set(sources.flatMap(({ results }) => results.perplexity.map(({ name }) => name)));
  const measured = [...texts].flatMap((name): ComparedLine[] => {
    const results = sources.map((source) => source.results.perplexity.find((one) => one.name === name));
    return [
      {
        title: fill(words.perplexity, name),
        values: results.map((one) => numberText(one?.quantized)),
      },
      {
        title: fill(words.fullPrecision, name),
        values: results.map((one) => numberText(one?.fullPrecision)),
      },
    ];
  });
  const of = (title: string, read: (source: ResultsSource) => string | null): ComparedLine => ({
    title,
    values: sources.map(read),
  });
  const rest = [
    ...lossLines(sources, words),
    of(words.steps, ({ results }) => (results.steps === 0 ? null : String(results.steps))),
    of(words.orthogonality, ({ results }) => results.orthogonalityError?.toExponential(1) ?? null),
    of(words.rowOrthogonality, ({ results }) => results.rowOrthogonalityError?.toExponential(1) ?? null),
    of(words.seconds, ({ results }) => secondsText(Object.values(results.seconds))),
    of(words.memory, ({ results: { peakBytes } }) =>
      peakBytes === undefined ? null : formatBytes(peakBytes),
    ),
  ];
  return [...measured, ...rest].filter(({ values }) => values.some((value) => value !== null));
}

function lossLines(sources: readonly ResultsSource[], words: Words): ComparedLine[] {
  const objectiveOf = ({ results, experiment }: ResultsSource): string | null =>
    results.loss === null ? null : experiment.rotation.learning.objective;
  const objectives = new Set(sources.map(objectiveOf).filter((objective) => objective !== null));
  return [...objectives].flatMap((objective) => {
    const unit = objective === 'cross-entropy' ? words.inNats : objective;
    const of = (title: string, read: 'first' | 'last'): ComparedLine => ({
      title: `${title} (${unit})`,
      values: sources.map((source) =>
        objectiveOf(source) === objective ? numberText(source.results.loss?.[read]) : null,
      ),
    });
    return [of(words.lossFirst, 'first'), of(words.lossLast, 'last')];
  });
}

function secondsText(phases: readonly number[]): string | null {
  return phases.length === 0 ? null : formatSeconds(phases.reduce((sum, seconds) => sum + seconds, 0));
}

/** Seven digits: more than a table shows, so that what differs is seen to. */
function numberText(value: number | null | undefined): string | null {
  if (value === Number.POSITIVE_INFINITY) return OVERFLOW;
  return value === null || value === undefined || Number.isNaN(value)
    ? null
    : String(Number(value.toPrecision(7)));
}

function layerLines(sources: readonly ResultsSource[], layers: Layers, words: Words): ComparedLine[] {
  const columns = sources.map(({ name }) => layers.get(name.dir) ?? []);
  if (columns.filter(({ length }) => length > 0).length < 2) return [];
  const most = Math.max(...columns.map(({ length }) => length));
  return Array.from({ length: most }, (_, layer) => ({
    title: fill(words.layer, layer),
    values: columns.map((column) => column[layer]?.toFixed(1) ?? null),
  }));
}
