/** What twins.test.ts compares. */
import type { Graph, Value } from '../../src/engine/graph/graph.ts';

/** A graph of one of our operators, whose native kernel and composed form must agree. */
export interface Twin {
  readonly dims: readonly (readonly number[])[];
  readonly build: (graph: Graph, inputs: Value[]) => Value;
  /** Largest difference allowed: so many roundings of values of order one. 0 for quantizers, which must agree exactly. */
  readonly roundings: number;
  /** Operators that have no derivative worth comparing. */
  readonly forwardOnly?: boolean;
}
