import { methodTitle } from '../../../config/index.ts';
import type { RoundingError, RoundingEvent } from '../../../protocol/events.ts';
import type { RoundingErrors } from '../../../protocol/panels/training.ts';
import { finite } from '../finite.ts';

/** The errors of the layers rounded so far as columns, linear layers in the order in which they came; null for none. */
export function roundingErrors(events: readonly RoundingEvent[]): RoundingErrors | null {
  const [first] = events;
  if (!first) return null;
  const names = [...new Set(events.flatMap(({ errors }) => errors.map(({ linear }) => linear)))];
  const column = (name: string, value: (error: RoundingError) => number) =>
    events.map(({ errors }) => {
      const found = errors.find(({ linear }) => linear === name);
      return found ? finite(value(found)) : null;
    });
  return {
    method: methodTitle(first.method),
    layers: Math.max(...events.map(({ layer, layers }) => Math.max(layers, layer + 1))),
    layer: events.map(({ layer }) => layer),
    linears: names.map((name) => ({
      name,
      error: column(name, ({ error }) => error),
      nearest: column(name, ({ nearest }) => nearest),
    })),
  };
}
