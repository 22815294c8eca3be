/** How to start a program with the operators, or why there is none. */
export type Host = { readonly command: readonly string[] } | { readonly missing: string };

/** For 64-bit ARM with products of bytes, in the hands of QEMU. */
export function buildArmHost(): Promise<Host>;

/** For AMX, whose instructions are emulated one by one; all others must be there. */
export function buildTileHost(): Promise<Host>;
