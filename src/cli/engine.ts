/** The engine is loaded when a command needs it: `--help` must not wait for it. */
import type { Engine } from '../engine/api.ts';

export async function loadEngine(): Promise<Engine> {
  return await import('../engine/experiment.ts');
}

export async function loadRuntimes(): Promise<typeof import('../engine/runtime/index.ts')> {
  return await import('../engine/runtime/index.ts');
}
