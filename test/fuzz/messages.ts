/** What the process that reads inputs and the one that watches it say to each other. */

/** Inputs to read, by number. */
export interface Order {
  readonly format: string;
  readonly seed: number;
  readonly first: number;
  readonly count: number;
  /** A saved input, in place of mutated ones. */
  readonly input: string | null;
  /** Where the input in work is kept, so that it is there after a crash. */
  readonly keep: string;
}

export interface Fault {
  /** `crash`, `hang`, `memory`, or the name of an error. */
  readonly kind: string;
  readonly message: string;
  /** The first place of ours in the stack; empty where there is none. */
  readonly where: string;
}

export type Report =
  | { readonly type: 'ready' }
  | { readonly type: 'begin'; readonly index: number }
  | {
      readonly type: 'end';
      readonly index: number;
      readonly outcome: 'accepted' | 'refused' | Fault;
      /** The most memory that the process has had so far. */
      readonly peakBytes: number;
    }
  | { readonly type: 'done' };
