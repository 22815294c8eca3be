/** Golden models in the forms that a run has, exported and opened in onnxruntime-node. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Bits, experimentSchema } from '../../src/config/index.ts';
import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import type { Checkpoint } from '../../src/engine/model/checkpoint.ts';
import { Network } from '../../src/engine/network/network.ts';
import { changedQuantizers } from '../../src/engine/network/network-quantizers.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import {
  type SeamMaps,
  type SeamState,
  spinQuantMaps,
  spinQuantState,
} from '../../src/engine/network/seams.ts';
import type { IntegerProducts } from '../../src/engine/network/weight-form.ts';
import { cacheRowsOf } from '../../src/engine/onnx-export/native-attention.ts';
import { type FolderReport, writeModelAsFolder } from '../../src/engine/onnx-export/write-folder.ts';
import type { TableChoice } from '../../src/engine/onnx-export/write-model.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import type { CacheType } from '../helpers/native-session.ts';
import { StockSession } from '../helpers/stock-session.ts';

export interface Form {
  readonly weights: Bits;
  readonly activations: Bits;
  readonly cache?: Bits;
  readonly groupSize?: number;
  /** Channels of a token that share a scale; absent: all. */
  readonly activationGroup?: number;
  readonly asymmetric?: boolean;
  /** True where products are of whole numbers, as far as they can be. */
  readonly integer?: 'always';
  /** What is taken out of keys; absent: as an experiment has it. */
  readonly keyOffset?: 'mean';
  /** As an experiment has them. */
  readonly exceptions?: readonly object[];
  /** False leaves the residual in the checkpoint's channels. */
  readonly r1?: boolean;
  /** Maps beside those of SpinQuant, with their numbers. */
  readonly maps?: SeamMaps;
  readonly state?: SeamState;
}

/** A network with all rotations of SpinQuant. */
export function rotated(cache: ProgramCache, checkpoint: Checkpoint, form: Form): Network {
  const { config } = checkpoint;
  const { weights, activations, cache: cached = 16, groupSize = null, asymmetric = false } = form;
  const { r1: hasR1 = true } = form;
  const integer: IntegerProducts = form.integer ?? 'never';
  const { quantization, rotation } = experimentSchema.parse({
    model: 'model',
    quantization: {
      weights: { bits: weights, clip: false, groupSize, symmetric: !asymmetric },
      activations: { bits: activations, groupSize: form.activationGroup ?? null },
      keys: { bits: cached, offset: form.keyOffset },
      values: { bits: cached },
      exceptions: form.exceptions,
    },
  });
  const r3 = cached < 16 ? planHadamard(config.headDim) : null;
  const maps = spinQuantMaps({ r1: hasR1, r2: true, r3, r4: planHadamard(config.intermediateSize) });
  const options = {
    // The cache of a native model without codes holds float32.
    ...changedQuantizers(quantizersOf(quantization, rotation, config), (each) => ({
      ...each,
      cachedNumbers: 'float32',
    })),
    maps: { ...maps, ...form.maps },
    integer,
  };
  const network = new Network(cache, checkpoint, { mode: 'merged', ...options, centreEmbedding: false });
  const sizes = { hidden: config.hiddenSize, headDim: config.headDim, layers: config.layers };
  const { r1, r2 } = drawRotations(sizes, { r1: hasR1 ? 'hadamard' : null, r2: 'hadamard' }, new Rng(3));
  network.setMaps({ ...spinQuantState(r1, r2), ...form.state });
  return network;
}

/** A folder that the test removes. */
export function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-onnx-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** How a native model of a network keeps keys and values. */
export function cacheTypeOf(network: Network): CacheType {
  const { dtype, width } = cacheRowsOf(network);
  if (dtype === 'int8' || dtype === 'float32') return { dtype, width };
  throw new Error(`no cache has ${dtype}`);
}

export const NO_TOKENS = { bos: null, ends: [] };
export const SIXTEEN: TableChoice = { embeddings: 16, head: 16 };

/** The network as a folder, opened. */
export async function exported(
  t: TestContext,
  cache: ProgramCache,
  network: Network,
  tables = SIXTEEN,
): Promise<{ readonly session: StockSession; readonly report: FolderReport; readonly folder: string }> {
  const folder = join(newFolder(t), 'model');
  const model = { cache, network, tables, target: 'stock', tokens: NO_TOKENS, origin: {} } as const;
  const report = await writeModelAsFolder(folder, model);
  const session = await StockSession.open(folder, network.checkpoint.config);
  t.after(() => session.release());
  return { session, report, folder };
}

/** Root mean square of a − b. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum / a.length);
}

export const size = (a: ArrayLike<number>): number => distance(a, new Float32Array(a.length));
