import type { z } from 'zod';

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
  /** The reason why it needs the calibration text, as the end of `needs a text …`; null where it does not. */
  readonly needsText: string | null;
  /** True where it compensates rounding errors: rotations are then learned with 16-bit weights (SpinQuant, table 3). */
  readonly compensates: boolean;
  /** True for a rounding that scales channels itself where activations are rounded: no scaling stands beside it. */
  readonly scalesChannels?: true;
}

/** `scaling` moves the size of channels from activations into weights, `rounding` puts weights on their grid. */
export type MethodKind = 'scaling' | 'rounding';
