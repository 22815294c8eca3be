import type { SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { SecondMoment } from '../../calibration/second-moment.ts';
import type { WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import type { Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { BatchShape } from '../../network/layer-shape.ts';
import { mapsOfLayer, mapTensors } from '../../network/map-tensors.ts';
import type { Network } from '../../network/network.ts';
import { type SeamMaps, type SeamState, seamOf } from '../../network/seams.ts';
import { HALVES, type HalfName } from './halves.ts';
import { CANDIDATES, HALF, HALF_ERROR, LAST_ERROR } from './programs.ts';
import { candidateScales, factorsOf, groupedMeans, POWER_INDICES } from './scales.ts';
import type { TextInParts } from './text-in-parts.ts';

export interface ScaleSearch {
  readonly cache: ProgramCache;
  /** The checkpoint's own network, at full precision. */
  readonly network: Network;
  /** The maps so far, with their numbers. */
  readonly maps: SeamMaps;
  readonly state: SeamState;
  /** The experiment's quantizer of weights. */
  readonly quantizer: WeightQuantizer;
  /** True where query heads of a group share the scales of their values; false leaves those unscaled. */
  readonly groupedValues: boolean;
}

/** What the full-precision text shows of half a layer. */
interface Seen {
  readonly normMeans: Float64Array;
  readonly innerMeans: Float64Array;
  readonly gain: Float32Array | null;
  readonly moment: SecondMoment;
}

/** Searches the scales of half a layer: behind its norm by the half's output, before its last weight by that weight's. */
export class HalfSearch {
  readonly #search: ScaleSearch;
  readonly #text: TextInParts;
  readonly #layer: number;
  readonly #half: HalfName;
  readonly #signal: AbortSignal | undefined;

  constructor(search: ScaleSearch, text: TextInParts, layer: number, half: HalfName, signal?: AbortSignal) {
    this.#search = search;
    this.#text = text;
    this.#layer = layer;
    this.#half = half;
    this.#signal = signal;
  }

  /** @returns yields the share that is done; the factors of the half's two seams in the end. */
  async *run(): AsyncGenerator<number, Partial<Record<SeamName, Float32Array>>> {
    const { norm, inner } = HALVES[this.#half];
    const passes = POWER_INDICES.length + 1;
    const seen = await this.#look();
    yield 1 / passes;
    const behindNorm = new Best();
    for (const index of POWER_INDICES) {
      const factors = factorsOf(candidateScales(seen.normMeans, index), seen.gain);
      behindNorm.offer(factors, await this.#halfError(factors));
      yield (index + 2) / passes;
    }
    return { [norm]: behindNorm.factors, [inner]: await this.#innerFactors(seen) };
  }

  async #innerFactors({ innerMeans, moment }: Seen): Promise<Float32Array> {
    const { inner } = HALVES[this.#half];
    const { config } = this.#search.network.checkpoint;
    if (inner === 'value' && config.heads !== config.kvHeads && !this.#search.groupedValues)
      return new Float32Array(seamOf(inner, config).channels).fill(1);
    const best = new Best();
    for (const index of POWER_INDICES) {
      const factors = factorsOf(candidateScales(innerMeans, index), null);
      best.offer(factors, await this.#lastError(factors, moment));
    }
    return best.factors;
  }

  /** One pass at full precision. What the half adds is kept as reference. */
  async #look(): Promise<Seen> {
    const { cache, maps, network } = this.#search;
    const { inner, innerSite, norm, last } = HALVES[this.#half];
    const { config } = network.checkpoint;
    const columns = network.checkpoint.layer(this.#layer)[last].dims[1] ?? 0;
    const moment = new SecondMoment(cache, columns);
    const normSums = new Float64Array(config.hiddenSize);
    const innerSums = new Float64Array(columns);
    let gain: Float32Array | null = null;
    for (const [index, part] of this.#text.parts.entries()) {
      throwIfCancelled(this.#signal);
      const { spec, tensors } = this.#context(part.shape);
      const program = await cache.get(HALF, { half: this.#half, ...spec });
      const out = await program.run({ ...tensors, ...(await this.#begins(index)) }, this.#signal);
      await this.#text.add(index, out.out);
      addTo(normSums, out.normSums.data);
      addTo(innerSums, out.innerSums.data);
      await moment.add(out.rows, this.#signal);
      gain = maps.residual ? null : out.gain.data;
    }
    this.#requireFinite(normSums, norm);
    this.#requireFinite(innerSums, innerSite);
    const { tokens } = this.#text;
    return {
      normMeans: groupedMeans(normSums, tokens, null),
      innerMeans: groupedMeans(innerSums, tokens, inner === 'value' ? config : null),
      gain,
      moment,
    };
  }

  /** Σ over the text of the squared distance from the half's full-precision output. */
  async #halfError(factors: Float32Array): Promise<number> {
    const { cache, quantizer } = this.#search;
    const { norm } = HALVES[this.#half];
    const one = this.#context({ batch: 1, sequence: 1 }, norm, factors);
    const preparing = await cache.get(CANDIDATES, { half: this.#half, ...one.spec, quantizer });
    const candidates = await preparing.run(one.tensors, this.#signal);
    let error = 0;
    for (const [index, part] of this.#text.parts.entries()) {
      throwIfCancelled(this.#signal);
      const { spec, tensors } = this.#context(part.shape);
      const program = await cache.get(HALF_ERROR, { half: this.#half, ...spec });
      const reference = await this.#text.added(index);
      const inputs = { ...tensors, ...candidates, reference, ...(await this.#begins(index)) };
      const { errors } = await program.run(inputs, this.#signal);
      error += total(errors.data);
    }
    return error;
  }

  async #lastError(factors: Float32Array, { sum }: SecondMoment): Promise<number> {
    throwIfCancelled(this.#signal);
    const { cache, quantizer } = this.#search;
    const { spec, tensors } = this.#context({ batch: 1, sequence: 1 }, HALVES[this.#half].inner, factors);
    const program = await cache.get(LAST_ERROR, { half: this.#half, ...spec, quantizer });
    return total((await program.run({ ...tensors, moment: sum }, this.#signal)).errors.data);
  }

  async #begins(index: number): Promise<Tensors> {
    return { [HALVES[this.#half].begins]: await this.#text.residual(index) };
  }

  /** The layer with the maps so far, and with scales at a seam where they are given. */
  #context(batch: BatchShape, seam?: SeamName, factors?: Float32Array) {
    const { network, maps, state } = this.#search;
    const { config } = network.checkpoint;
    const { shape, types, tensors } = network.layerContext(this.#layer, batch);
    const given = mapsOfLayer(mapTensors(maps, state, config), this.#layer);
    if (!seam || !factors)
      return { spec: { shape: { ...shape, maps }, types }, tensors: { ...tensors, ...given } };
    const scaled: SeamMaps = { ...maps, [seam]: { kind: 'diagonal' } };
    const scales = { [seam]: float32([factors.length], factors) };
    return {
      spec: { shape: { ...shape, maps: scaled }, types },
      tensors: { ...tensors, ...given, ...scales },
    };
  }

  #requireFinite(sums: Float64Array, where: string): void {
    if (sums.every(Number.isFinite)) return;
    throw new UserError(
      'scaling/not-finite',
      `What stands at ${where} of layer ${this.#layer} is not finite on the calibration text.`,
      'The network overflows there: check the checkpoint, or use another calibration text.',
    );
  }
}

/** The first factors of the least error. */
class Best {
  #error = Number.POSITIVE_INFINITY;
  #factors: Float32Array | null = null;

  offer(factors: Float32Array, error: number): void {
    if (this.#factors !== null && !(error < this.#error)) return;
    this.#error = error;
    this.#factors = factors;
  }

  get factors(): Float32Array {
    if (this.#factors === null) throw new Error('no scales were tried');
    return this.#factors;
  }
}

function addTo(sums: Float64Array, addends: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += addends[i]!;
}

const total = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0);
