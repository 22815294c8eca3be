import { totalmem } from 'node:os';

/** What the machine has, or what a container may use of it. */
export function machineBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(totalmem(), constrained) : totalmem();
}
