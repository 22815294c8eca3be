/**
 * The addon ends the process with this code where a mapped file was truncated or its disk failed: there is no way back
 * into the computation (native-kernels/addon/lost_file.h). It has said so on stderr, in a line with this start.
 */
export const LOST_FILE = { exitCode: 74, lineStart: 'SpinQuant Lab: ' } as const;

/** A step that stopped before its end, and goes on when it is started again: EX_TEMPFAIL of sysexits. */
export const AGAIN = 75;
/** The node of a job lacks the shared folder: EX_CONFIG of sysexits. */
export const NOT_SEEN = 78;
