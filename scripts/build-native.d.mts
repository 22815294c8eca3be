/** The first C++ compiler that answers, with its version text; undefined if there is none. */
export function findCompiler(): Promise<{ readonly command: string; readonly version: string } | undefined>;

/** File name of our operators as a shared library. */
export const OPERATOR_LIBRARY: string;
