import { SEAMS, type SeamName, type Site } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { type Ranks, shareOf } from '../distributed/ranks.ts';
import type { Value } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { ofLayer, type Seam, seamOf } from '../network/seams.ts';
import { timesTransform } from '../network/side-transform.ts';
import type { TextSize } from '../network/work.ts';
import { Rng } from '../rotation/random.ts';
import { massiveTokens } from './massive-tokens.ts';

/** Memory for captured rows of one group of rotations. */
const RESERVOIR_BYTES = 256 * 2 ** 20;
/** More rows than this no longer change what is learned. */
export const RESERVOIR_ROWS = 32_768;

/** What is captured, beside the text. */
export interface CaptureOptions {
  readonly seed: number;
  /** Rows of the residual stand so many times in the sample where their token is massive. */
  readonly massiveWeight: number;
}

/** Tokens that activations are captured over. */
const CAPTURED_TOKENS = 32_768;

/** The first calibration blocks, as many as activations are captured over; at least one. */
export function blocksToCapture(blocks: readonly Int32Array[]): readonly Int32Array[] {
  const length = blocks[0]?.length ?? CAPTURED_TOKENS;
  return blocks.slice(0, capturedSequences({ sequences: blocks.length, length }));
}

/** How many of the first sequences of a text activations are captured over. */
export function capturedSequences({ sequences, length }: TextSize): number {
  return Math.min(sequences, Math.max(1, Math.floor(CAPTURED_TOKENS / length)));
}

/** Rows that a map is learned on, shuffled, each site scaled to RMS 1. */
export interface CapturedRows {
  /** Elements of a row: the width of the map. */
  readonly width: number;
  readonly count: number;
  readonly rows: Float32Array;
}

/** For each seam the rows of each of its maps; heads that share a map are rows of their own. */
export type CapturedActivations = Readonly<Partial<Record<SeamName, readonly CapturedRows[]>>>;

/** Seams that are learned on what their quantizers read. */
const CAPTURED = ['residual', 'value'] as const satisfies readonly SeamName[];

/**
 * One streaming pass of the full-precision network over the calibration blocks keeps a bounded sample of what the
 * quantizers will read: normalised inputs for the residual, values and mixed values for the heads.
 * @param network the plain network.
 */
export async function captureActivations(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  { seed, massiveWeight }: CaptureOptions,
  signal?: AbortSignal,
): Promise<CapturedActivations> {
  const { config } = network.checkpoint;
  const reservoirs = makeReservoirs(config, blocks, seed);
  const { ranks } = network;
  // How often massive tokens are drawn is known only where they are seen: then every rank sees all blocks.
  const isShared = massiveWeight === 1;
  const own = new Set(isShared ? shareOf(blocks, ranks) : blocks);
  for (const ids of blocks) {
    if (!own.has(ids)) {
      skipBlock(reservoirs, config, ids.length);
      continue;
    }
    let x = await network.embed(ids, signal);
    for (let layer = 0; layer < config.layers; layer++) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const { y, ...seen } = await (await cache.get(CAPTURE, { shape, types })).run(
        { ...tensors, x },
        signal,
      );
      const massive = massiveWeight > 1 ? massiveTokens(x.data, config.hiddenSize) : [];
      const times = massive.map((isMassive) => (isMassive ? massiveWeight : 1));
      addSeen(reservoirs, layer, seen, times);
      x = y;
    }
  }
  if (isShared) for (const seam of CAPTURED) for (const one of reservoirs[seam]) await one.sumOver(ranks);
  const results = CAPTURED.map((seam) => [seam, reservoirs[seam].map((one) => one.result())] as const);
  return Object.fromEntries(results);
}

/** @param times that the row of each token of the residual is put in; empty for once. */
function addSeen(
  reservoirs: Reservoirs,
  layer: number,
  seen: Readonly<Record<CapturedSite, Reals>>,
  times: readonly number[],
): void {
  for (const seam of CAPTURED)
    for (const site of SEAMS[seam].sites)
      ofLayer(reservoirs[seam], layer).add(seen[site].data, seam === 'residual' ? times : []);
}

/** A block that another rank passes through the network: it draws the same places. */
function skipBlock(reservoirs: Reservoirs, config: ModelConfig, tokens: number): void {
  for (let layer = 0; layer < config.layers; layer++)
    for (const seam of CAPTURED)
      for (const site of SEAMS[seam].sites)
        ofLayer(reservoirs[seam], layer).skip(tokens * rowsOfToken(site, config));
}

type Reservoirs = Readonly<Record<(typeof CAPTURED)[number], readonly Reservoir[]>>;

/** Streams are named as the matrices are, so that the sample stays the same from version to version. */
function makeReservoirs(config: ModelConfig, blocks: readonly Int32Array[], seed: number): Reservoirs {
  const tokens = blocks.reduce((sum, ids) => sum + ids.length, 0);
  const rng = new Rng(seed).split('capture');
  const [residual, value] = [seamOf('residual', config), seamOf('value', config)];
  const perToken = (name: (typeof CAPTURED)[number]): number =>
    SEAMS[name].sites.reduce((sum, site) => sum + rowsOfToken(site, config), 0);
  const rows = { residual: config.layers * perToken('residual') * tokens, value: perToken('value') * tokens };
  const nameOf = ({ symbol, perLayer }: Seam, index: number): string =>
    (perLayer ? `${symbol}.${index}` : symbol).toLowerCase();
  const make = (seam: Seam, expected: number): Reservoir[] =>
    Array.from(
      { length: seam.count },
      (_, index) => new Reservoir(seam.width, expected, rng.split(nameOf(seam, index))),
    );
  return { residual: make(residual, rows.residual), value: make(value, rows.value) };
}

/** Rows that a token has at a site: heads that share a map are rows of their own. */
function rowsOfToken(site: CapturedSite, { heads, kvHeads }: ModelConfig): number {
  if (site === 'value') return kvHeads;
  return site === 'o-input' ? heads : 1;
}

type CapturedSite = (typeof SEAMS)[(typeof CAPTURED)[number]]['sites'][number];

const CAPTURE: ProgramKind<
  { readonly shape: LayerShape; readonly types: LayerTypes },
  { y: Reals } & Record<CapturedSite, Reals>
> = {
  name: 'capture',
  build({ shape, types }) {
    const seen = new Map<Site, Value>();
    const { graph, y, inputs } = layerExpression(shape, types, 'plain', false, 'float32', (site, value) =>
      seen.set(site, value),
    );
    // A fixed map behind one that is learned commutes with it.
    const mixed = seen.get('o-input');
    if (mixed) seen.set('o-input', timesTransform(mixed, inputs.map('across-heads')));
    const outputs = CAPTURED.flatMap((seam) => SEAMS[seam].sites.map((site) => [site, seen.get(site)]));
    return { graph, outputs: { y, ...Object.fromEntries(outputs) }, precision: shape.precision };
  },
};

/** A uniform sample of rows of a stream of known length, in shuffled order. */
class Reservoir {
  readonly #width: number;
  readonly #capacity: number;
  readonly #rng: Rng;
  readonly #rows: Float32Array;
  #seen = 0;

  constructor(width: number, expectedRows: number, rng: Rng) {
    const affordable = Math.floor(RESERVOIR_BYTES / (width * Float32Array.BYTES_PER_ELEMENT));
    this.#width = width;
    this.#capacity = Math.min(expectedRows, affordable, RESERVOIR_ROWS);
    this.#rng = rng;
    this.#rows = new Float32Array(this.#capacity * width);
  }

  /**
   * Adds one site's rows of one sequence, scaled to RMS 1 over all of them.
   * @param times how often each row stands in the stream; once where absent.
   */
  add(values: Float32Array, times: readonly number[]): void {
    const width = this.#width;
    let square = 0;
    for (let i = 0; i < values.length; i++) square += values[i]! * values[i]!;
    const factor = square > 0 ? Math.sqrt(values.length / square) : 1;
    for (let row = 0; row < values.length / width; row++) {
      for (let time = 0; time < (times[row] ?? 1); time++) {
        const place = this.#place();
        if (place === null) continue;
        for (let i = 0; i < width; i++) this.#rows[place * width + i] = values[row * width + i]! * factor;
      }
    }
  }

  /** Rows that another rank adds. */
  skip(rows: number): void {
    const width = this.#width;
    for (let row = 0; row < rows; row++) {
      const place = this.#place();
      if (place !== null) this.#rows.fill(0, place * width, (place + 1) * width);
    }
  }

  /** Puts the rows of all ranks together: each place is zero on all ranks but one. */
  sumOver(ranks: Ranks): Promise<void> {
    return ranks.sum(this.#rows);
  }

  /** Place of the next row, or null, by Vitter's algorithm R. */
  #place(): number | null {
    const index = this.#seen++;
    if (index < this.#capacity) return index;
    const draw = this.#rng.integer(index + 1);
    return draw < this.#capacity ? draw : null;
  }

  result(): CapturedRows {
    const [width, rows, count] = [this.#width, this.#rows, Math.min(this.#seen, this.#capacity)];
    const kept = new Float32Array(width);
    for (let i = count - 1; i > 0; i--) {
      const j = this.#rng.integer(i + 1);
      kept.set(rows.subarray(i * width, (i + 1) * width));
      rows.copyWithin(i * width, j * width, (j + 1) * width);
      rows.set(kept, j * width);
    }
    return { width, count, rows: rows.subarray(0, count * width) };
  }
}
