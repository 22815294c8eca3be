import { throwIfCancelled } from '../../protocol/errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { Program } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ObservedSite } from '../network/layer.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import type { Activations, Network } from '../network/network.ts';
import { Rng } from '../rotation/random.ts';
import type { Runtime } from '../runtime/types.ts';

/** Sites that R1 and R2 rotate before a quantizer reads them. */
const R1_SITES = ['attention-input', 'mlp-input'] as const satisfies readonly ObservedSite[];
const R2_SITES = ['value', 'o-input'] as const satisfies readonly ObservedSite[];

/** Memory for captured rows of one group of rotations. */
const RESERVOIR_BYTES = 256 * 2 ** 20;
/** More rows than this no longer change what is learned. */
const RESERVOIR_ROWS = 32_768;

/** Tokens that activations are captured over. */
const CAPTURED_TOKENS = 32_768;

/** The first calibration blocks, as many as activations are captured over; at least one. */
export function blocksToCapture(blocks: readonly Int32Array[]): readonly Int32Array[] {
  return blocks.slice(0, Math.max(1, Math.floor(CAPTURED_TOKENS / blocks[0]!.length)));
}

/** Rows that a rotation is learned on, shuffled, each site scaled to RMS 1. */
export interface CapturedRows {
  /** Elements of a row: d for R1, h for R2. */
  readonly width: number;
  readonly count: number;
  readonly rows: Float32Array;
}

export interface CapturedActivations {
  /** From all layers, for the one R1. */
  readonly r1: CapturedRows;
  /** Per layer; heads are rows of their own, since all heads share R2. */
  readonly r2: readonly CapturedRows[];
}

/**
 * One streaming pass of the full-precision network over the calibration blocks keeps a bounded sample of what the
 * quantizers will read: normalised inputs for R1, values and mixed values for R2.
 * @param network the plain network.
 */
export async function captureActivations(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  seed: number,
  signal?: AbortSignal,
): Promise<CapturedActivations> {
  const { hiddenSize, headDim, layers } = network.checkpoint.config;
  const tokens = blocks.reduce((sum, ids) => sum + ids.length, 0);
  const rng = new Rng(seed).split('capture');
  const r1 = new Reservoir(hiddenSize, 2 * layers * tokens, rng.split('r1'));
  const heads = network.checkpoint.config.heads + network.checkpoint.config.kvHeads;
  const r2 = Array.from(
    { length: layers },
    (_, i) => new Reservoir(headDim, heads * tokens, rng.split(`r2.${i}`)),
  );
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (let layer = 0; layer < layers; layer++) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const key = `capture ${ids.length} ${shape.window} ${JSON.stringify(types)}`;
      const program = await cache.get(key, (runtime) => compileCapture(runtime, shape, types));
      const out = await program.run({ ...tensors, x }, signal);
      for (const site of R1_SITES) r1.add(out[site]!.data as Float32Array);
      for (const site of R2_SITES) r2[layer]!.add(out[site]!.data as Float32Array);
      x = out.y as Activations;
    }
  }
  return { r1: r1.result(), r2: r2.map((reservoir) => reservoir.result()) };
}

function compileCapture(runtime: Runtime, shape: LayerShape, types: LayerTypes): Promise<Program> {
  const wanted: ReadonlySet<string> = new Set([...R1_SITES, ...R2_SITES]);
  const seen: Record<string, Value> = {};
  const { graph, y }: { graph: Graph; y: Value } = layerExpression(
    shape,
    types,
    'plain',
    false,
    'float32',
    (site, value) => {
      if (wanted.has(site)) seen[site] = value;
    },
  );
  return Program.compile(runtime, graph, { y, ...seen }, { precision: shape.precision });
}

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

  /** Adds one site's rows of one sequence, scaled to RMS 1 over all of them. */
  add(values: Float32Array): void {
    const width = this.#width;
    let square = 0;
    for (let i = 0; i < values.length; i++) square += values[i]! * values[i]!;
    const factor = square > 0 ? Math.sqrt(values.length / square) : 1;
    for (let row = 0; row < values.length / width; row++) {
      const place = this.#place();
      if (place === null) continue;
      for (let i = 0; i < width; i++) this.#rows[place * width + i] = values[row * width + i]! * factor;
    }
  }

  /** Where the next row goes, or null: Vitter's algorithm R. */
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
