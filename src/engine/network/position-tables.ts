import { float32 } from '../../protocol/tensor.ts';
import type { Reals } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import { ropeTables } from '../model/rope.ts';

/** Cosines and sines [S, h/2]. */
export interface PositionTables {
  readonly cos: Reals;
  readonly sin: Reals;
}

/** The position tables of a model, made once for each length. */
export class Positions {
  readonly #config: ModelConfig;
  readonly #tables = new Map<number, PositionTables>();

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  of(length: number): PositionTables {
    const known = this.#tables.get(length);
    if (known) return known;
    const { cos, sin } = ropeTables(this.#config, length);
    const dims = [length, this.#config.headDim / 2];
    const tables = { cos: float32(dims, cos), sin: float32(dims, sin) };
    this.#tables.set(length, tables);
    return tables;
  }
}

/** Rows of the tables for `count` positions from `first`. */
export function slicedTables({ cos, sin }: PositionTables, first: number, count: number): PositionTables {
  const rows = ({ dims, data }: Reals): Reals => {
    const half = dims[1] ?? 0;
    return float32([count, half], data.slice(first * half, (first + count) * half));
  };
  return { cos: rows(cos), sin: rows(sin) };
}
