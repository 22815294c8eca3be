import { SEAMS, type SeamName, type Site } from '../../protocol/block.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { shareOf } from '../distributed/ranks.ts';
import type { Value } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { seamOf } from '../network/seams.ts';
import { timesTransform } from '../network/side-transform.ts';
import type { TextSize } from '../network/work.ts';
import { Rng } from '../rotation/random.ts';
import { massiveTokens } from './massive-tokens.ts';
import { type CapturedRows, MapReservoirs } from './reservoir.ts';

/** What is captured, beside the text. */
export interface CaptureOptions {
  readonly seed: number;
  /** Rows of the residual stand so many times in the sample where their token is massive. */
  readonly massiveWeight: number;
  /** True where each key/value head has a map of its own; false, where absent, for one of all heads of a layer. */
  readonly headsApart?: boolean;
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

/** For each seam the rows of each of its maps, as a state has these; heads that share a map are rows of their own. */
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
  { seed, massiveWeight, headsApart = false }: CaptureOptions,
  signal?: AbortSignal,
): Promise<CapturedActivations> {
  const { config } = network.checkpoint;
  const reservoirs = makeReservoirs(config, blocks, seed, headsApart);
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
      addSeen(reservoirs, config, layer, seen, times);
      x = y;
    }
  }
  if (isShared) for (const seam of CAPTURED) await reservoirs[seam].sumOver(ranks);
  const results = CAPTURED.map((seam) => [seam, reservoirs[seam].results()] as const);
  return Object.fromEntries(results);
}

/** @param times that the row of each token of the residual is put in; empty for once. */
function addSeen(
  reservoirs: Reservoirs,
  config: ModelConfig,
  layer: number,
  seen: Readonly<Record<CapturedSite, Reals>>,
  times: readonly number[],
): void {
  for (const seam of CAPTURED)
    for (const site of SEAMS[seam].sites)
      reservoirs[seam].add(
        layer,
        seen[site].data,
        rowsOfToken(site, config),
        seam === 'residual' ? times : [],
      );
}

/** A block that another rank passes through the network: it draws the same places. */
function skipBlock(reservoirs: Reservoirs, config: ModelConfig, tokens: number): void {
  for (let layer = 0; layer < config.layers; layer++)
    for (const seam of CAPTURED)
      for (const site of SEAMS[seam].sites) reservoirs[seam].skip(layer, tokens * rowsOfToken(site, config));
}

type Reservoirs = Readonly<Record<(typeof CAPTURED)[number], MapReservoirs>>;

function makeReservoirs(
  config: ModelConfig,
  blocks: readonly Int32Array[],
  seed: number,
  headsApart: boolean,
): Reservoirs {
  const tokens = blocks.reduce((sum, ids) => sum + ids.length, 0);
  const rng = new Rng(seed).split('capture');
  const perToken = (name: (typeof CAPTURED)[number]): number =>
    SEAMS[name].sites.reduce((sum, site) => sum + rowsOfToken(site, config), 0);
  const rows = { residual: config.layers * perToken('residual') * tokens, value: perToken('value') * tokens };
  const groups = headsApart ? config.kvHeads : 1;
  return {
    residual: new MapReservoirs(seamOf('residual', config), 1, rows.residual, rng),
    value: new MapReservoirs(seamOf('value', config), groups, rows.value, rng),
  };
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
