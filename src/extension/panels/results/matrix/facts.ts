/** What the files of a cell's run tell beside its results. */
import { LINEARS, SITES } from '../../../../protocol/block.ts';
import type { RoundingEvent, RunEvent, Variant } from '../../../../protocol/events.ts';
import type { DepthColumns, DepthRow } from '../../../../protocol/panels/matrix.ts';
import { partialOf } from '../../../../protocol/records.ts';
import type { ActivationsFile, SiteRecord, SiteStatistics } from '../../../../runs/index.ts';
import { finite } from '../../finite.ts';
import { RunHistory } from '../../training/history.ts';

/** From the events of a run. */
export interface EventFacts {
  /**
   * Seconds of its steps of learning, of its rounding and of the evaluation of its network. A step that another cell
   * paid for is in its events, too, so that cells can be compared.
   */
  readonly seconds: number | null;
  readonly weights: DepthRow['weights'];
}

/** From its activation statistics. */
export type ActivationFacts = Pick<DepthRow, 'kurtosis' | 'error'>;

/** @param variant of the network that the cell is about. */
export function eventFacts(events: readonly RunEvent[], variant: Variant): EventFacts {
  const history = new RunHistory(events);
  const evaluations = history.evaluations.filter((event) => event.variant === variant);
  const work = [...history.steps, ...history.rounded, ...evaluations];
  const seconds = work.reduce((sum, event) => sum + event.seconds, 0);
  return {
    seconds: evaluations.length > 0 ? finite(seconds) : null,
    weights: weightsDepth(history.rounded),
  };
}

function weightsDepth(rounded: readonly RoundingEvent[]): DepthRow['weights'] {
  return partialOf(LINEARS, (linear) => {
    const found = rounded.flatMap(({ layer, errors }) =>
      errors.filter((error) => error.linear === linear).map((error) => ({ layer, ...error })),
    );
    return columns(
      found,
      ({ nearest }) => nearest,
      ({ error }) => error,
    );
  });
}

export function activationFacts({ sites }: ActivationsFile): ActivationFacts {
  const depth = (value: (statistics: SiteStatistics) => number | null) =>
    partialOf(SITES, (site) => {
      const found = sites.filter((record: SiteRecord) => record.site === site);
      const sorted = found.sort((a, b) => a.layer - b.layer);
      return columns(
        sorted,
        ({ before }) => value(before),
        ({ after }) => value(after),
      );
    });
  return {
    kurtosis: depth(({ kurtosis }) => kurtosis),
    error: depth(({ sqnrDb }) => (sqnrDb === null ? null : 10 ** (-sqnrDb / 10))),
  };
}

/** Null where nothing was measured. */
function columns<T extends { readonly layer: number }>(
  points: readonly T[],
  before: (point: T) => number | null,
  after: (point: T) => number | null,
): DepthColumns | null {
  const values = {
    layer: points.map(({ layer }) => layer),
    before: points.map((point) => finite(before(point))),
    after: points.map((point) => finite(after(point))),
  };
  return values.after.some((value) => value !== null) ? values : null;
}
