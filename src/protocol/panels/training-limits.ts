/** Bounds of the smoothing of the loss, in steps. Alone in its file: pages take it without the checks of a contract. */
export const SMOOTHING = { least: 3, usual: 10, most: 200 } as const;
