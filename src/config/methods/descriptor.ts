import type { z } from 'zod';
import type { SeamName } from '../../protocol/block.ts';

/**
 * Experiments, their schema, tables and panels know this about a method. Its work is in the file of the same name in
 * `engine/methods`.
 */
export interface MethodDescriptor<
  Name extends string = string,
  Kind extends MethodKind = MethodKind,
  Options extends z.ZodType | null = z.ZodType | null,
> {
  /** The name in an experiment; its options and its file in `engine/methods` have the same name. */
  readonly name: Name;
  readonly kind: Kind;
  /** The name in tables and panels. */
  readonly title: string;
  /** The words after its name in the schema's description: `rtn rounds each to the nearest grid point`. */
  readonly summary: string;
  /** Its source; null where no citation is needed. Methods are listed in the order of their publication. */
  readonly paper: { readonly authors: string; readonly arxiv: string } | null;
  /** Its own keys in an experiment, with defaults and the values of the reference implementation. */
  readonly options: Options;
  /** Faults between its options, each of which is valid alone; absent where there are none. */
  readonly between?: (options: unknown) => readonly OptionFault[];
  /** The reason why it needs the calibration text, as the end of `needs a text …`; null where it does not. */
  readonly needsText: string | null;
  /** True where it compensates rounding errors: rotations are then learned with 16-bit weights (SpinQuant, table 3). */
  readonly compensates: boolean;
  /** True where its options are in keys of results also where another method is chosen, as versions before had them. */
  readonly isInEveryKey?: true;
  /** Matrices that it holds beside second moments and versions of a weight, as every method does; absent: none. */
  readonly copies?: (options: unknown) => MatrixCopies;
  /** True where its numbers depend on a seed of the experiment. */
  readonly seeded?: boolean;
  /** The seams that a scaling method puts its scales at: no rotation may stand there. Absent for rounding. */
  readonly seams?: readonly SeamName[];
  /** Those of them that its options ask for; absent: all. */
  readonly uses?: (options: unknown) => readonly SeamName[];
  /** True for a scaling method whose maps mix channels, as rotations do. */
  readonly mixes?: true;
  /** True where scales serve the rounding of weights alone, and were found on channels that no rotation mixed. */
  readonly servesWeights?: boolean;
  /** The bits of weights that it rounds to; absent: all. */
  readonly bits?: readonly number[];
  /** True where it is defined for activations and caches as they are. */
  readonly weightsOnly?: boolean;
  /** True for a rounding that scales channels itself where activations are rounded: no scaling stands beside it. */
  readonly scalesChannels?: true;
}

/** Copies of the largest matrices of a layer. */
export interface MatrixCopies {
  /** Of second moments of the widest input. */
  readonly moments: number;
  /** Of the largest weight. */
  readonly weights: number;
}

/** A fault at one option of a method. */
export interface OptionFault {
  readonly option: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/**
 * `training` changes the weights themselves, `scaling` moves the size of channels from activations into weights,
 * `rounding` puts weights on their grid.
 */
export type MethodKind = 'training' | 'scaling' | 'rounding';
