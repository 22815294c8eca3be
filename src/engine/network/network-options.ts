import type { SeamName } from '../../protocol/block.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { NetworkMode } from './layer-programs.ts';
import type { NetworkMemory } from './memory-plan.ts';
import type { NetworkQuantizers } from './network-quantizers.ts';
import type { RoundedSource } from './rounded-weights.ts';
import type { SeamMaps } from './seams.ts';
import type { IntegerProducts } from './weight-form.ts';

/** These decide the programs of a network, beside its checkpoint and the numbers of its maps. */
export interface NetworkOptions extends NetworkQuantizers {
  readonly mode: NetworkMode;
  /** The maps at the seams. */
  readonly maps: SeamMaps;
  readonly centreEmbedding: boolean;
  readonly memory?: NetworkMemory;
  /** Weights of the merged network that were rounded beforehand; absent: they are rotated and rounded when needed. */
  readonly rounded?: RoundedSource | undefined;
  /** True where weights will be rounded to numbers that no grid holds: they are not taken as codes. */
  readonly denseWeights?: boolean;
  /** Where the merged network multiplies in whole numbers, as far as its quantizers allow; `never` where absent. */
  readonly integer?: IntegerProducts | undefined;
  /** True where derivatives go through the merged network; false where absent. */
  readonly learns?: boolean | undefined;
  /** Seams whose maps layers have derivatives by; absent: all that are given. */
  readonly moving?: readonly SeamName[] | undefined;
  /** Precision of products; `float32` where absent. */
  readonly precision?: Precision | undefined;
  /** Precision of the products that prepare weights; that of the others where absent. */
  readonly weightPrecision?: Precision | undefined;
}
