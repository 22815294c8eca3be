/** A command loads the engine when it needs it: `--help` must not wait for it. */
export type Engine = typeof import('../engine/index.ts');

export async function loadEngine(): Promise<Engine> {
  return await import('../engine/index.ts');
}
