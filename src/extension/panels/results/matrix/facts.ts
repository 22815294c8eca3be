/** What the files of a cell's run tell beside its results. */
import { SITES } from '../../../../protocol/block.ts';
import type { RoundingEvent, RunEvent, Variant } from '../../../../protocol/events.ts';
import {
  type DepthColumns,
  type DepthRow,
  LINEAR_CHOICES,
  type WeightDepth,
} from '../../../../protocol/panels/matrix.ts';
import { partialOf } from '../../../../protocol/records.ts';
import {
  type ActivationsFile,
  RunHistory,
  type SiteRecord,
  type SiteStatistics,
  type WeightStatistics,
} from '../../../../runs/index.ts';
import { finite } from '../../finite.ts';

/** From the events of a run. */
export interface EventFacts {
  /**
   * Seconds of its steps of learning, of its rounding and of the evaluation of its network. A step that another cell
   * paid for is in its events, too, so that cells can be compared.
   */
  readonly seconds: number | null;
  readonly outputError: WeightDepth;
}

/** From its statistics. */
export type StatisticsFacts = Pick<
  DepthRow,
  'kurtosis' | 'error' | 'weightKurtosis' | 'weightError' | 'lacksWeights'
>;

export const NO_STATISTICS: StatisticsFacts = {
  ...{ kurtosis: {}, error: {}, weightKurtosis: {}, weightError: {} },
  lacksWeights: false,
};

/** @param variant of the network that the cell is about. */
export function eventFacts(events: readonly RunEvent[], variant: Variant): EventFacts {
  const history = new RunHistory(events);
  return {
    seconds: finite(history.secondsOf(variant)),
    outputError: outputErrors(history.rounded),
  };
}

function outputErrors(rounded: readonly RoundingEvent[]): WeightDepth {
  const points = rounded.flatMap(({ layer, errors }) =>
    errors.map(({ linear, nearest, error }) => ({ layer, linear, before: nearest, after: error })),
  );
  return weightDepth(points);
}

export function statisticsFacts({ sites, weights }: ActivationsFile): StatisticsFacts {
  const depth = (value: (statistics: SiteStatistics) => number | null) =>
    partialOf(SITES, (site) => {
      const found = sites.filter((record: SiteRecord) => record.site === site);
      return columns(
        found.map(({ layer, before, after }) => ({ layer, before: value(before), after: value(after) })),
      );
    });
  const weightsBy = (value: (statistics: WeightStatistics) => number | null) =>
    weightDepth(
      (weights ?? []).map(({ layer, linear, before, after }) => ({
        ...{ layer, linear },
        before: value(before),
        after: value(after),
      })),
    );
  return {
    kurtosis: depth(({ kurtosis }) => kurtosis),
    error: depth(errorOf),
    weightKurtosis: weightsBy(({ kurtosis }) => kurtosis),
    weightError: weightsBy(errorOf),
    lacksWeights: weights === undefined,
  };
}

/** Σ(Q(x)−x)² / Σx². */
function errorOf({ sqnrDb }: { readonly sqnrDb: number | null }): number | null {
  return sqnrDb === null ? null : 10 ** (-sqnrDb / 10);
}

interface Point {
  readonly layer: number;
  readonly before: number | null;
  readonly after: number | null;
}

/** Each linear layer over the depth, and the mean of a block's. */
function weightDepth(points: readonly (Point & { readonly linear: string })[]): WeightDepth {
  return partialOf(LINEAR_CHOICES, (choice) =>
    columns(choice === 'mean' ? means(points) : points.filter(({ linear }) => linear === choice)),
  );
}

/** The means of each layer; null where one of its numbers is not known. */
function means(points: readonly Point[]): Point[] {
  return [...new Set(points.map(({ layer }) => layer))].map((layer) => {
    const own = points.filter((point) => point.layer === layer);
    return {
      layer,
      before: meanOf(own.map(({ before }) => before)),
      after: meanOf(own.map(({ after }) => after)),
    };
  });
}

function meanOf(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>(
    (sum, value) => (sum === null || value === null ? null : sum + value / values.length),
    0,
  );
}

/** Null where nothing was measured. */
function columns(points: readonly Point[]): DepthColumns | null {
  const sorted = [...points].sort((a, b) => a.layer - b.layer);
  const values = {
    layer: sorted.map(({ layer }) => layer),
    before: sorted.map(({ before }) => finite(before)),
    after: sorted.map(({ after }) => finite(after)),
  };
  return values.after.some((value) => value !== null) ? values : null;
}
