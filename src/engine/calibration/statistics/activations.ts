import type { MapSymbol } from '../../../protocol/block.ts';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { type RunEvent, timed } from '../../../protocol/events.ts';
import type { ActivationsFile, Run, SiteRecord } from '../../../runs/index.ts';
import { labelOf } from '../../evaluate/texts.ts';
import type { HostTensors, Program } from '../../graph/program.ts';
import type { ObservedSite } from '../../network/layer.ts';
import type { LayerQuantizers, RotationSites } from '../../network/layer-shape.ts';
import type { Activations } from '../../network/network.ts';
import { plainNetwork, rotationSites } from '../../plan/networks.ts';
import { quantizersOf } from '../../plan/quantizers.ts';
import type { Workbench } from '../../plan/workbench.ts';
import type { RotationState } from '../../transform/learning/learner.ts';
import { compileObserved, gather, SIDES, type Side, siteQuantizer } from './observe-layer.ts';
import { StreamingStatistics } from './site-statistics.ts';

/** Tokens that statistics are taken over: maxima and fourth moments have settled, the pass stays short. */
const OBSERVED_TOKENS = 8192;
const SITES: readonly ObservedSite[] = [
  'attention-input',
  'query',
  'key',
  'value',
  'o-input',
  'mlp-input',
  'down-input',
];

/**
 * Streams calibration text once through the full-precision network and gathers, per layer and site, what the rotation
 * does: histogram on a shared axis, channel maxima, kurtosis, and SQNR under the experiment's quantizer.
 * @param run where `activations.json` is written; null to only return it.
 */
export async function* collectActivations(
  bench: Workbench,
  rotations: RotationState,
  blocks: readonly Int32Array[],
  run: Run | null,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, ActivationsFile> {
  const began = performance.now();
  const sites = rotationSites(bench.experiment, bench.checkpoint.config);
  const count = Math.max(1, Math.min(blocks.length, Math.floor(OBSERVED_TOKENS / blocks[0]!.length)));
  const observer = new Observer(bench, rotations, sites);
  for (const ids of blocks.slice(0, count)) await observer.add(ids, signal);
  const file: ActivationsFile = {
    version: 1,
    bits: labelOf(bench),
    axis: 'Histograms count activations in equally wide bins from min to max, in units of the activation; before and after share the axis.',
    sites: observer.records(),
  };
  run?.writeActivations(file);
  const seconds = (performance.now() - began) / 1000;
  const { layers } = bench.checkpoint.config;
  yield timed({
    type: 'statistics',
    file: run?.path('activations') ?? '',
    layers,
    sites: file.sites.length,
    seconds,
  });
  return file;
}

type SiteStreams = Readonly<Record<Side, StreamingStatistics>>;

/** Per layer and site, the statistics before and after rotation. */
class Observer {
  readonly #bench: Workbench;
  readonly #rotations: RotationState;
  readonly #sites: RotationSites;
  readonly #quantizers: LayerQuantizers;
  readonly #streams: Map<ObservedSite, SiteStreams>[];
  /** Outputs to fill again: without our kernels they are large. */
  readonly #reusable = new WeakMap<Program, HostTensors>();

  constructor(bench: Workbench, rotations: RotationState, sites: RotationSites) {
    this.#bench = bench;
    this.#rotations = rotations;
    this.#sites = sites;
    this.#quantizers = quantizersOf(bench.experiment, bench.checkpoint.config);
    this.#streams = Array.from({ length: bench.checkpoint.config.layers }, () => new Map());
  }

  /** One sequence through all layers. */
  async add(ids: Int32Array, signal?: AbortSignal): Promise<void> {
    const network = plainNetwork(this.#bench);
    let x = await network.embed(ids, signal);
    for (let layer = 0; layer < network.layers; layer++) {
      throwIfCancelled(signal);
      const out = await this.#observe(layer, x, ids.length, signal);
      for (const site of SITES) this.#gather(layer, site, out);
      x = out.y as Activations;
    }
  }

  records(): SiteRecord[] {
    return this.#streams.flatMap((streams, layer) =>
      [...streams].map(([site, { before, after }]) => {
        const limit = Math.max(before.limit, after.limit);
        return {
          layer,
          site,
          rotation: this.#acting(site),
          before: before.result(limit),
          after: after.result(limit),
        };
      }),
    );
  }

  async #observe(
    layer: number,
    x: Activations,
    sequence: number,
    signal?: AbortSignal,
  ): Promise<HostTensors> {
    const { cache } = this.#bench;
    const network = plainNetwork(this.#bench);
    const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence });
    const observed = { ...shape, quantizers: this.#quantizers, rotations: this.#sites };
    const key = `observe ${shape.window} ${sequence} ${JSON.stringify(types)}`;
    const program = await cache.get(key, (runtime) => compileObserved(runtime, observed, types));
    const out = await program.run(
      { ...tensors, ...this.#matrices(layer), x },
      signal,
      this.#reusable.get(program),
    );
    // y is the next layer's input and must not be overwritten; all else is gathered before the program runs again.
    const { y: _y, ...reusable } = out;
    this.#reusable.set(program, reusable);
    return out;
  }

  #matrices(layer: number): HostTensors {
    const { hiddenSize: d, headDim: h } = this.#bench.checkpoint.config;
    const { r1, r2 } = this.#rotations;
    return {
      ...(r1 && { r1: { kind: 'host', dtype: 'float32', dims: [d, d], data: r1 } }),
      ...(r2 && { r2: { kind: 'host', dtype: 'float32', dims: [h, h], data: r2[layer]! } }),
    };
  }

  #gather(layer: number, site: ObservedSite, out: HostTensors): void {
    const streams = this.#streamsOf(layer, site);
    for (const side of SIDES) gather(streams[side], out, site, side);
  }

  /** Where nothing rotates, after is before. */
  #streamsOf(layer: number, site: ObservedSite): SiteStreams {
    const known = this.#streams[layer]!.get(site);
    if (known) return known;
    const quantizer = siteQuantizer(site, this.#quantizers);
    const before = new StreamingStatistics(quantizer);
    const after = this.#acting(site).length > 0 ? new StreamingStatistics(quantizer) : before;
    this.#streams[layer]!.set(site, { before, after });
    return { before, after };
  }

  #acting(site: ObservedSite): MapSymbol[] {
    const { r1, r2, r3, r4 } = this.#sites;
    const acting: Record<ObservedSite, MapSymbol | false> = {
      'attention-input': r1 && 'R1',
      'mlp-input': r1 && 'R1',
      'o-input': r2 && 'R2',
      value: r2 && 'R2',
      query: r3 !== null && 'R3',
      key: r3 !== null && 'R3',
      'down-input': r4 !== null && 'R4',
    };
    const name = acting[site];
    return name ? [name] : [];
  }
}
