import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Fault } from './messages.ts';
import { watch } from './watch.ts';

/** Inputs that went wrong are kept here. */
const OUT = fileURLToPath(new URL('../../build/fuzz/', import.meta.url));

export interface Failure extends Fault {
  readonly format: string;
  readonly seed: number;
  readonly index: number;
  /** Path of the saved input. */
  readonly input: string;
}

export interface Outcome {
  readonly format: string;
  readonly accepted: number;
  readonly refused: number;
  readonly failures: readonly Failure[];
  readonly seconds: number;
}

/** The command that shows a failure again. */
export function commandOf({ format, seed, index }: Failure): string {
  return `npm run fuzz -- --format ${format} --seed ${seed} --first ${index} --count 1`;
}

/** A hang and a want of memory count when the input alone, in a new process, shows them again. */
const NEEDS_PROOF = new Set(['hang', 'memory', 'crash']);

/** Tries damaged inputs of one format. @param first number of the first input. */
export async function fuzz(format: string, seed: number, count: number, first = 0): Promise<Outcome> {
  mkdirSync(OUT, { recursive: true });
  const began = performance.now();
  const keep = join(OUT, `${format}-${process.pid}.now`);
  const failures: Failure[] = [];
  let [accepted, refused] = [0, 0];
  for (let next = first; next < first + count; ) {
    const order = { format, seed, first: next, count: first + count - next, input: null, keep };
    const seen = await watch(order);
    accepted += seen.accepted;
    refused += seen.refused;
    next += seen.done;
    for (const { index, fault } of seen.faults) {
      const one = NEEDS_PROOF.has(fault.kind)
        ? await watch({ ...order, first: index, count: 1 })
        : { faults: [{ fault }] };
      if (one.faults.length > 0) failures.push({ format, seed, index, input: '', ...one.faults[0]!.fault });
    }
    if (seen.done === 0) throw new Error(`${format} does not come forward at input ${next}`);
  }
  const seconds = (performance.now() - began) / 1000;
  const kept = await saved(failures, keep);
  rmSync(keep, { force: true });
  return { format, accepted, refused, failures: kept, seconds };
}

/** One example of each kind of failure is kept as a file. */
async function saved(failures: readonly Failure[], keep: string): Promise<Failure[]> {
  const known = new Set<string>();
  const out: Failure[] = [];
  for (const failure of failures) {
    const { format, seed, index } = failure;
    const input = join(OUT, `${format}-${seed}-${index}.bin`);
    const isNew = !known.has(signatureOf(failure));
    known.add(signatureOf(failure));
    if (isNew) {
      await watch({ format, seed, first: index, count: 1, input: null, keep });
      if (existsSync(keep)) copyFileSync(keep, input);
    }
    out.push({ ...failure, input: isNew ? input : '' });
  }
  return out;
}

/** Failures with equal signatures have most likely one cause. */
export function signatureOf({ format, kind, message, where }: Failure): string {
  const words = message.split('\n')[0]!.replace(/"[^"]*"|'[^']*'|\d+(\.\d+)?|\/\S+/g, '…');
  return `${format} ${kind} ${where} ${words.slice(0, 90)}`;
}

/** The first of each kind of failure, and how many there are. */
export function grouped(failures: readonly Failure[]): (readonly [first: Failure, count: number])[] {
  const first = new Map<string, readonly [Failure, number]>();
  for (const failure of failures) {
    const signature = signatureOf(failure);
    const [one, count] = first.get(signature) ?? [failure, 0];
    first.set(signature, [one, count + 1]);
  }
  return [...first.values()];
}
