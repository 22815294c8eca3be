/** The engine is loaded when a command needs it: `--help` must not wait for it. */
export type Engine = typeof import('../engine/index.ts');

export async function loadEngine(): Promise<Engine> {
  return await import('../engine/index.ts');
}
