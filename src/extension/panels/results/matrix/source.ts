import { existsSync } from 'node:fs';
import { matrixShape } from '../../../../config/index.ts';
import { messageOf } from '../../../../protocol/errors.ts';
import type { DepthRow, MatrixTable } from '../../../../protocol/panels/matrix.ts';
import {
  cellsOfRuns,
  type Published,
  publishedFor,
  type Run,
  type MatrixTable as RunsTable,
  tableOf,
  variantOfRow,
} from '../../../../runs/index.ts';
import {
  type MatrixExperiment,
  type MatrixReading,
  runsOfMatrix,
} from '../../../experiments/matrix-cells.ts';
import {
  configOf,
  FileCache,
  MatrixFiles,
  type MatrixServices,
  timeOf,
} from '../../../experiments/matrix-files.ts';
import type { Services } from '../../../services.ts';
import {
  type EventFacts,
  eventFacts,
  NO_STATISTICS,
  type StatisticsFacts,
  statisticsFacts,
} from './facts.ts';
import { bitSettings, matrixTable } from './state.ts';

/** What a table is read from. */
export interface TableServices extends MatrixServices {
  readonly runs: Pick<Services['runs'], 'list' | 'get'>;
  readonly experiments: Pick<Services['experiments'], 'all'>;
}

/** Reads the tables of the workspace's experiments; of run folders only what has changed. */
export class MatrixSource {
  readonly #services: TableServices;
  readonly #files: MatrixFiles;
  readonly #events = new FileCache<EventFacts>();
  readonly #statistics = new FileCache<StatisticsFacts>();
  readonly #published = new FileCache<Published | null>();
  readonly #tables = new Map<string, { readonly key: string; readonly table: RunsTable }>();

  constructor(services: TableServices) {
    this.#services = services;
    this.#files = new MatrixFiles(services);
  }

  /** Experiment files that have a matrix, or faults in one. */
  async all(): Promise<string[]> {
    const files = this.#services.experiments.all;
    const readings = await Promise.all(files.map((file) => this.reading(file)));
    return files.filter((_, index) => readings[index] !== null);
  }

  /** What the file on the disk says: that is what is filled. */
  reading(file: string): Promise<MatrixReading> {
    return this.#files.reading(file);
  }

  /** The table as far as it is filled. */
  async runsTable({ experiment, cells }: MatrixExperiment): Promise<RunsTable> {
    const runs = runsOfMatrix(experiment, this.#services.runs.list());
    const config = configOf(experiment.model);
    const { file } = experiment.source;
    const reasons = await this.#files.reasons(experiment);
    const key = JSON.stringify([
      ...[timeOf(config), reasons],
      cells.map(({ key, title, bits, seed }) => [key, title, bits, seed]),
      runs.map((run) => [run.dir, run.record.status, timeOf(run.path('results'))]),
    ]);
    const known = this.#tables.get(file);
    if (known?.key === key) return known.table;
    const published = await this.#published.get(config, () => publishedFor(experiment.model));
    const secondsOf = async (run: Run, method: string) => (await this.#eventsOf(run, method)).seconds;
    const found = await cellsOfRuns(cells, runs, { reasons, secondsOf });
    const table = tableOf(found, published);
    this.#tables.set(file, { key, table });
    return table;
  }

  /** @param chosen setting of bits whose layers are drawn; without it, the last of the table. */
  async table(matrix: MatrixExperiment, chosen: string | null): Promise<MatrixTable> {
    const table = await this.runsTable(matrix);
    const { matrix: settings } = matrix.experiment;
    const all = bitSettings(table);
    const bits = all.find((setting) => setting === chosen) ?? all.at(-1) ?? '';
    return matrixTable({
      file: matrix.experiment.source.file,
      table,
      bits,
      depth: await this.#depth(table, bits),
      statistics: settings ? matrixShape(settings).statistics : false,
      hasActivations: ({ run: dir }) => {
        const run = dir === null ? undefined : this.#services.runs.get(dir);
        return run?.record.status === 'finished' && existsSync(run.path('activations'));
      },
    });
  }

  /** Of each row the first finished seed that tells of its layers. */
  async #depth({ rows }: RunsTable, bits: string): Promise<DepthRow[]> {
    const found: DepthRow[] = [];
    for (const { method, title, cells } of rows.filter((row) => row.bits === bits)) {
      for (const { run: dir, status, seed } of cells) {
        const run = dir === null || status !== 'finished' ? undefined : this.#services.runs.get(dir);
        if (!run) continue;
        const { outputError } = await this.#eventsOf(run, method);
        const statistics = await this.#statisticsOf(run);
        const { kurtosis, error } = statistics;
        if ([outputError, kurtosis, error].every((part) => Object.keys(part).length === 0)) continue;
        found.push({ method, title, seed, ...statistics, outputError });
        break;
      }
    }
    return found;
  }

  #eventsOf(run: Run, method: string): Promise<EventFacts> {
    const variant = variantOfRow(method);
    return this.#attempt(
      () => this.#events.get(run.path('events'), async () => eventFacts(await run.readEvents(), variant)),
      { seconds: null, outputError: {} },
    );
  }

  #statisticsOf(run: Run): Promise<StatisticsFacts> {
    const path = run.path('activations');
    if (!existsSync(path)) return Promise.resolve(NO_STATISTICS);
    return this.#attempt(
      () => this.#statistics.get(path, async () => statisticsFacts(await run.readActivations())),
      NO_STATISTICS,
    );
  }

  /** A damaged file of one run must not take the table off the screen. */
  async #attempt<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await read();
    } catch (error) {
      this.#services.log.warn(messageOf(error));
      return otherwise;
    }
  }
}
