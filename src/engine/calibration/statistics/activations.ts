import { type MapSymbol, type OffsetPart, SITES, type Site, seamsAt } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import type { SiteRecord } from '../../../runs/index.ts';
import type { HostTensors, Program, Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { quantizerAt } from '../../network/layer-shape.ts';
import { type MapTensors, mapsOfLayer, mapTensors } from '../../network/map-tensors.ts';
import type { Activations, Network } from '../../network/network.ts';
import { type NetworkQuantizers, quantizersAt } from '../../network/network-quantizers.ts';
import { type SeamMaps, type SeamState, symbolOf } from '../../network/seams.ts';
import type { TextSize } from '../../network/work.ts';
import { gather, OBSERVE, SIDES, type Side } from './observe-layer.ts';
import { StreamingStatistics } from './site-statistics.ts';

/** Tokens that statistics are taken over: maxima and fourth moments have settled, the pass stays short. */
const OBSERVED_TOKENS = 8192;

export interface Observed extends NetworkQuantizers {
  /** The plain network. */
  readonly network: Network;
  /** The maps of the quantized network. */
  readonly maps: SeamMaps;
  readonly state: SeamState;
}

/**
 * Streams calibration text once through the full-precision network and gathers, per layer and site, what the maps do:
 * histogram on a shared axis, channel maxima, kurtosis, and SQNR under the quantizer.
 */
export async function observeActivations(
  cache: ProgramCache,
  observed: Observed,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<SiteRecord[]> {
  const count = observedSequences({ sequences: blocks.length, length: blocks[0]?.length ?? OBSERVED_TOKENS });
  const observer = new Observer(cache, observed);
  for (const ids of blocks.slice(0, count)) await observer.add(ids, signal);
  return observer.records();
}

/** The first sequences of a text, as many as are looked at; at least one. */
export function observedSequences({ sequences, length }: TextSize): number {
  return Math.max(1, Math.min(sequences, Math.floor(OBSERVED_TOKENS / length)));
}

type SiteStreams = Readonly<Record<Side, StreamingStatistics>>;

/** Per layer and site, the statistics before and after the maps, and an offset that is taken out. */
class Observer {
  readonly #cache: ProgramCache;
  readonly #observed: Observed;
  readonly #given: MapTensors;
  readonly #streams: Map<Site, SiteStreams>[];
  /** Outputs to fill again: without our kernels they are large. */
  readonly #reusable = new WeakMap<Program<{ y: Reals } & HostTensors>, HostTensors>();

  constructor(cache: ProgramCache, observed: Observed) {
    this.#cache = cache;
    this.#observed = observed;
    this.#given = mapTensors(observed.maps, observed.state, observed.network.checkpoint.config);
    this.#streams = Array.from({ length: observed.network.layers }, () => new Map());
  }

  /** One sequence through all layers. */
  async add(ids: Int32Array, signal?: AbortSignal): Promise<void> {
    const { network } = this.#observed;
    let x = await network.embed(ids, signal);
    for (const [layer, streams] of this.#streams.entries()) {
      throwIfCancelled(signal);
      const out = await this.#observe(layer, x, ids.length, signal);
      for (const site of SITES) {
        const sides = this.#sidesOf(streams, layer, site);
        for (const side of SIDES) gather(sides[side], out, layer, site, side);
      }
      x = out.y;
    }
  }

  records(): SiteRecord[] {
    return this.#streams.flatMap((streams, layer) =>
      [...streams].map(([site, { before, after, kept }]) => {
        const limit = Math.max(before.limit, after.limit);
        const offset = this.#offset(layer, site);
        return {
          layer,
          site,
          rotation: this.#acting(site),
          ...(offset && { offset: { part: offset, keptSqnrDb: kept.result(kept.limit).sqnrDb } }),
          before: before.result(limit),
          // The error of keys without their offset is that of the whole keys, which attention reads.
          after: after.result(limit, kept.power),
        };
      }),
    );
  }

  async #observe(
    layer: number,
    x: Activations,
    sequence: number,
    signal?: AbortSignal,
  ): Promise<{ y: Reals } & HostTensors> {
    const { network, maps } = this.#observed;
    const quantizers = quantizersAt(this.#observed, layer);
    const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence });
    const program = await this.#cache.get(OBSERVE, { shape: { ...shape, quantizers, maps }, types });
    const inputs = { ...tensors, ...mapsOfLayer(this.#given, layer), x };
    const out = await program.run(inputs, signal, this.#reusable.get(program));
    // y is the next layer's input and must not be overwritten; all else is gathered before the program runs again.
    const { y: _y, ...reusable } = out;
    this.#reusable.set(program, reusable);
    return out;
  }

  /** A site where no map acts has one stream for both sides. */
  #sidesOf(streams: Map<Site, SiteStreams>, layer: number, site: Site): SiteStreams {
    const known = streams.get(site);
    if (known) return known;
    const quantizer = quantizerAt(site, quantizersAt(this.#observed, layer));
    const before = new StreamingStatistics(quantizer);
    const offset = this.#offset(layer, site);
    const isSame = this.#acting(site).length === 0 && !offset;
    const after = isSame ? before : new StreamingStatistics(quantizer);
    const sides = { before, after, kept: offset ? new StreamingStatistics(quantizer) : after };
    streams.set(site, sides);
    return sides;
  }

  /** Names the part that is taken out of the tensor before it is quantized; null for nothing. */
  #offset(layer: number, site: Site): OffsetPart | null {
    const { keyOffset = 'none' } = quantizersAt(this.#observed, layer);
    return site === 'key' && keyOffset !== 'none' ? keyOffset : null;
  }

  #acting(site: Site): MapSymbol[] {
    const { maps } = this.#observed;
    return seamsAt(site).flatMap((seam) => (maps[seam] ? [symbolOf(seam, maps[seam])] : []));
  }
}
