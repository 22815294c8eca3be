/**
 * The addon ends the process with this code where a mapped file was truncated or its disk failed: there is no way back
 * into the computation (native-kernels/addon/lost_file.h). It has said so on stderr, in a line with this start.
 */
export const LOST_FILE = { exitCode: 74, lineStart: 'SpinQuant Lab: ' } as const;
