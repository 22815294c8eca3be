import type { Workspace } from '../fixtures/workspace.ts';
import type { Mutation } from '../mutations/bytes.ts';

/** A format that a person can hand in, with what reads it. */
export interface Format {
  readonly name: string;
  /** @param workspace a folder that nothing else uses meanwhile. */
  open(workspace: Workspace): Promise<Target>;
}

export interface Target {
  /** Whole files, which the reader accepts. */
  readonly originals: readonly Buffer[];
  readonly mutate: Mutation;
  /**
   * Reads a file by the product's own readers.
   * @throws UserError where it is refused; Insane, or any other error, where something is wrong with us.
   */
  read(input: Buffer): Promise<void>;
}

/** Something was accepted that cannot be right. */
export class Insane extends Error {
  override readonly name = 'Insane';
}

export function expectSane(isSane: boolean, what: string): void {
  if (!isSane) throw new Insane(what);
}

export function expectFinite(values: ArrayLike<number>, what: string): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i])) throw new Insane(`${what} holds ${values[i]} at ${i}`);
}

export const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
