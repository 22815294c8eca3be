/** States of the panels from recorded run folders, made by the same code as in the editor. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ExperimentError } from '../../src/config/index.ts';
import { layersState } from '../../src/extension/panels/layers/state.ts';
import { modelName } from '../../src/extension/panels/names.ts';
import { MatrixSource } from '../../src/extension/panels/results/matrix/source.ts';
import { ResultsSources } from '../../src/extension/panels/results/sources.ts';
import { type ResultsSource, resultsState } from '../../src/extension/panels/results/state.ts';
import { learningFacts } from '../../src/extension/panels/training/learning.ts';
import { type TrainingSource, trainingState } from '../../src/extension/panels/training/state.ts';
import { runName } from '../../src/extension/runs/names.ts';
import type { LayersMemory, LayersState } from '../../src/protocol/panels/layers.ts';
import { layersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { MatrixPart } from '../../src/protocol/panels/matrix.ts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { resultsStrings } from '../../src/protocol/panels/results-strings.ts';
import type { TrainingState } from '../../src/protocol/panels/training.ts';
import { trainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { CellReasons } from '../../src/protocol/worker.ts';
import { isResumable, listRuns, openRun, RunHistory } from '../../src/runs/index.ts';

const LOCALE = 'en';
const english = (message: string): string => message;
const LANGUAGE = { locale: LOCALE, t: english };
const NOTHING_SAID = { name: null, label: null, starred: false };

/** A folder for runs, gone when the test ends. */
export async function runsFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'spinquant-panels-'));
  t.after(() => rm(folder, { recursive: true }));
  return join(folder, '.spinquant', 'runs');
}

/** A run of the demo model that was really made, with its numbers shortened. */
export function realRun(): string {
  return fileURLToPath(new URL('../fixtures/runs/demo', import.meta.url));
}

async function trainingSource(dir: string, firstSteps: number): Promise<TrainingSource> {
  const run = await openRun(dir);
  const [events, experiment] = await Promise.all([run.readEvents(), run.readExperiment()]);
  const { learning } = experiment.rotation;
  return {
    name: runName(run, NOTHING_SAID, LANGUAGE),
    model: modelName(run, experiment.model),
    record: run.record,
    history: new RunHistory(events.filter((event) => event.type !== 'step' || event.step <= firstSteps)),
    learning: learningFacts(learning),
    unreadable: null,
  };
}

export interface TrainingChoice {
  readonly overlays?: readonly string[];
  readonly others?: readonly string[];
  /** Only the steps up to this one. */
  readonly firstSteps?: number;
  readonly smoothing?: number;
}

export async function trainingOf(dir: string | null, choice: TrainingChoice = {}): Promise<TrainingState> {
  const { overlays = [], others = overlays, firstSteps = Number.POSITIVE_INFINITY, smoothing = 10 } = choice;
  const run = dir === null ? null : await openRun(dir);
  return trainingState({
    strings: trainingStrings(english),
    memory: { run: dir, experiment: null, overlays: [...overlays], smoothing },
    shown: dir === null ? null : await trainingSource(dir, firstSteps),
    control: {
      waiting: false,
      running: run?.record.status === 'running',
      resumable: run !== null && isResumable(run),
    },
    overlays: await Promise.all(overlays.map((one) => trainingSource(one, Number.POSITIVE_INFINITY))),
    canAdd: others.length > overlays.length,
  });
}

export async function layersOf(dir: string | null, choice: Partial<LayersMemory> = {}): Promise<LayersState> {
  return (await layersRead(dir))(choice);
}

/** Reads a run once, for states of any choice. */
export async function layersRead(
  dir: string | null,
): Promise<(choice: Partial<LayersMemory>) => LayersState> {
  const run = dir === null ? null : await openRun(dir);
  const experiment = await run?.readExperiment();
  const name = run && runName(run, NOTHING_SAID, LANGUAGE);
  const activations =
    run && (existsSync(run.path('activations')) ? await run.readActivations() : { sites: [] });
  const attribution = run && existsSync(run.path('attribution')) ? await run.readAttribution() : null;
  return (choice) =>
    layersState({
      strings: layersStrings(english),
      memory: { run: dir, experiment: null, layer: null, site: null, other: null, ...choice },
      runs: name ? [name] : [],
      shown:
        run && name && experiment && activations
          ? {
              name,
              model: modelName(run, experiment.model),
              activations,
              attribution,
              quantization: experiment.quantization,
              rotation: experiment.rotation,
            }
          : null,
      problem: null,
    });
}

const NO_MATRIX: MatrixPart = {
  ...{ all: [], file: null, table: null, problem: null, progress: null, askedAt: 0 },
};

interface MatrixOptions {
  readonly bits?: string | null;
  readonly progress?: string | null;
  /** By the keys of cells. */
  readonly reasons?: CellReasons;
}

/** The table of an experiment with the runs of a folder. @param bits whose layers are drawn; the last if absent. */
export async function matrixOf(
  file: string,
  folder: string,
  { bits = null, progress = null, reasons = {} }: MatrixOptions = {},
): Promise<MatrixPart> {
  const { runs } = await listRuns(folder);
  const source = new MatrixSource({
    runs: { list: () => runs, get: (dir) => runs.find((run) => run.dir === dir) },
    experiments: { all: [file] },
    reasons: { of: () => reasons },
    log: { warn: (message: string) => assert.fail(message) },
  });
  const reading = await source.reading(file);
  if (reading === null || reading instanceof ExperimentError) throw reading ?? new Error('No matrix.');
  const all = [{ file, name: 'table' }];
  return { ...NO_MATRIX, all, file, progress, table: await source.table(reading, bits) };
}

export async function resultsOf(
  dirs: readonly string[],
  selected: readonly string[] = [],
  starred: readonly string[] = [],
  matrix: MatrixPart = NO_MATRIX,
): Promise<ResultsState> {
  const read = new ResultsSources((message) => assert.fail(message));
  const runs = await Promise.all(dirs.map(openRun));
  const sources = await Promise.all(
    runs.map(async (run): Promise<ResultsSource> => {
      const annotation = { ...NOTHING_SAID, starred: starred.includes(run.dir) };
      return (await read.of(run, runName(run, NOTHING_SAID, LANGUAGE), annotation)) ?? assert.fail(run.dir);
    }),
  );
  const compared = selected.length < 2 ? [] : runs.filter(({ dir }) => selected.includes(dir));
  const layers = new Map(
    await Promise.all(compared.map(async (run) => [run.dir, await read.layersOf(run)] as const)),
  );
  return resultsState({
    strings: resultsStrings(english),
    locale: LOCALE,
    memory: { selected: [...selected], table: null, bits: null },
    sources,
    withoutResults: 0,
    matrix,
    layers,
  });
}
