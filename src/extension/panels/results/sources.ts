/** Reads what the results panel shows of runs, each file once for each of its states. */
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { learnsOnText, portableExperiment, sharedTexts } from '../../../config/index.ts';
import { messageOf } from '../../../protocol/errors.ts';
import type { RunName } from '../../../protocol/panels/common.ts';
import type { ActivationsFile, Run } from '../../../runs/index.ts';
import type { RunAnnotation } from '../../services.ts';
import { modelName } from '../names.ts';
import { rotationsPrint } from './rotations-print.ts';
import type { ResultsSource } from './state.ts';

type Opened = Pick<ResultsSource, 'results' | 'experiment' | 'model' | 'rotationsPrint' | 'seen'>;

interface Kept<T> {
  readonly mtimeMs: number;
  readonly value: T;
}

export class ResultsSources {
  readonly #opened = new Map<string, Kept<Opened>>();
  readonly #layers = new Map<string, Kept<readonly (number | null)[]>>();
  readonly #warn: (message: string) => void;

  /** @param warn told of runs that cannot be read. */
  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Null for a run without results, or whose files cannot be read. */
  async of(run: Run, name: RunName, annotation: RunAnnotation): Promise<ResultsSource | null> {
    if (!existsSync(run.path('results'))) return null;
    try {
      const opened = await kept(this.#opened, run.path('results'), () => open(run));
      const { label, starred } = annotation;
      const { record, experimentFile } = run;
      return {
        ...opened,
        ...{ name, label, starred, experimentFile },
        id: basename(run.dir),
        status: record.status,
        provenance: record.provenance,
        hasActivations: existsSync(run.path('activations')),
      };
    } catch (error) {
      this.#warn(messageOf(error));
      return null;
    }
  }

  /** The mean SQNR of each layer's sites after rotation in dB; none for a run without statistics. */
  async layersOf(run: Run): Promise<readonly (number | null)[]> {
    if (!existsSync(run.path('activations'))) return [];
    try {
      return await kept(this.#layers, run.path('activations'), async () =>
        layerMeans(await run.readActivations()),
      );
    } catch (error) {
      this.#warn(messageOf(error));
      return [];
    }
  }
}

async function kept<T>(known: Map<string, Kept<T>>, path: string, read: () => Promise<T>): Promise<T> {
  const { mtimeMs } = statSync(path);
  const before = known.get(path);
  if (before?.mtimeMs === mtimeMs) return before.value;
  const value = await read();
  known.set(path, { mtimeMs, value });
  return value;
}

async function open(run: Run): Promise<Opened> {
  const [results, experiment] = await Promise.all([run.readResults(), run.readExperiment()]);
  const shared = learnsOnText(experiment) ? sharedTexts(experiment) : [];
  return {
    results,
    experiment: portableExperiment(experiment),
    model: modelName(run, experiment.model),
    rotationsPrint: rotationsPrint(run.path('rotations')),
    seen: shared.map(({ evaluation }) => evaluation),
  };
}

/** Sites that are not quantized do not count. */
export function layerMeans({ sites }: Pick<ActivationsFile, 'sites'>): (number | null)[] {
  const layers = 1 + sites.reduce((most, { layer }) => Math.max(most, layer), -1);
  return Array.from({ length: layers }, (_, layer) => {
    const ofLayer = sites.filter((site) => site.layer === layer);
    const known = ofLayer.map(({ after }) => after.sqnrDb).filter((value) => value !== null);
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
  });
}
