import type { z } from 'zod';

/**
 * What an experiment, its schema, tables and panels know of a method. The work itself lies in the file of the same name
 * in `engine/methods`.
 */
export interface MethodDescriptor<
  Name extends string = string,
  Kind extends MethodKind = MethodKind,
  Options extends z.ZodType | null = z.ZodType | null,
> {
  /** As written in an experiment; also the name of its options and of its file in `engine/methods`. */
  readonly name: Name;
  readonly kind: Kind;
  /** As tables and panels print it. */
  readonly title: string;
  /** What follows its name in the schema's description: `rtn rounds each to the nearest grid point`. */
  readonly summary: string;
  /** Where it comes from; null for what needs no citation. Methods are listed in the order of their publication. */
  readonly paper: { readonly authors: string; readonly arxiv: string } | null;
  /** Its own keys in an experiment, with defaults and with what the reference implementation uses. */
  readonly options: Options;
  /** Why it must see the calibration text, as the end of `needs a text …`; null where it need not. */
  readonly needsText: string | null;
  /** Whether it makes up for its own rounding errors: rotations then are learned with 16-bit weights (SpinQuant, table 3). */
  readonly compensates: boolean;
}

/** `scaling` moves the size of channels from activations into weights, `rounding` puts weights on their grid. */
export type MethodKind = 'scaling' | 'rounding';
