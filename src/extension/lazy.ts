/** Modules that activation must not wait for: each is evaluated when it is first asked for. */

/** The experiment file: schema, checks, differences. */
export const loadConfig = (): Promise<typeof import('../config/index.ts')> => import('../config/index.ts');

/** Run folders. */
export const loadRuns = (): Promise<typeof import('../runs/index.ts')> => import('../runs/index.ts');
