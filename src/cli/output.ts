import { createColors } from 'picocolors';
import { diskFault } from '../disk/faults.ts';
import { printable, printableJson } from '../protocol/printable.ts';

type Colors = ReturnType<typeof createColors>;

/**
 * A command writes its result to stdout and everything else to stderr.
 * With `--json` stdout gets exactly one JSON document and nothing for people.
 */
export interface Output {
  readonly json: boolean;
  /** The colours are those of stderr; none when it is not a terminal. */
  readonly colors: Colors;
  /** True where stderr is a terminal, in which a line can be rewritten in place. */
  readonly live: boolean;
  /** The terminal has this many columns. */
  readonly columns: number;
  /** Writes a result for people as a line on stdout; nothing with `--json`. */
  result(text: string): void;
  /**
   * Writes a piece of text that goes on where the last piece ended, on stdout; nothing with `--json`.
   * @returns false where stdout takes no more.
   */
  stream(piece: string): boolean;
  /** Writes the JSON document; nothing without `--json`, and nothing after the first. */
  document(value: unknown): void;
  /** Writes progress, a warning or an error as a line on stderr. */
  note(text: string): void;
  /**
   * Writes a warning as a line on stderr, once for each message: a check before a run and the run itself may both find it.
   * @param text the message with its place and what to do.
   */
  warn(message: string, text: string): void;
  /** Rewrites the terminal's current line; an empty text clears it. */
  status(text: string): void;
}

/** The first fault of stdout: a pipe whose reader has gone, or a disk that is full. */
let stdoutFault: Error | null = null;
let isWatched = false;

/** A stream that fails ends the process unless somebody listens. */
function watchStreams(): void {
  if (isWatched) return;
  isWatched = true;
  process.stdout.on('error', (error) => {
    stdoutFault ??= error;
  });
  // Nobody is left to be told: the work itself goes on.
  process.stderr.on('error', () => undefined);
}

/** Waits until stdout has taken all that was written. @throws UserError `file/unwritable` */
export async function flushStdout(): Promise<void> {
  if (stdoutFault === null) await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  if (stdoutFault !== null) throw diskFault(stdoutFault, 'Standard output', 'written');
}

export function createOutput(json: boolean): Output {
  watchStreams();
  const live = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
  const colors = createColors(live && !process.env.NO_COLOR);
  const clear = live ? '\r\u001b[K' : '';
  let hasDocument = false;
  let isMidLine = false;
  const warned = new Set<string>();
  const note = (text: string): void => {
    // In a terminal a line on stderr would stand in the line of text on stdout, and clear it.
    if (isMidLine && live && process.stdout.isTTY) process.stdout.write('\n');
    isMidLine = false;
    process.stderr.write(`${clear}${text}\n`);
  };
  return {
    json,
    colors,
    live,
    columns: process.stderr.columns || 80, // It is 0 where unknown.
    result(text) {
      if (!json) process.stdout.write(`${printable(text)}\n`);
    },
    stream(piece) {
      if (!json && piece !== '') {
        process.stdout.write(printable(piece));
        isMidLine = !piece.endsWith('\n');
      }
      return stdoutFault === null;
    },
    document(value) {
      if (!json || hasDocument) return;
      hasDocument = true;
      process.stdout.write(`${printableJson(value)}\n`);
    },
    note,
    warn(message, text) {
      if (warned.has(message)) return;
      warned.add(message);
      note(`${colors.yellow('Warning:')} ${text}`);
    },
    status(text) {
      if (live) process.stderr.write(clear + text);
    },
  };
}

/** The same for a process that another one speaks for. */
export function silenced(output: Output): Output {
  const nothing = (): void => undefined;
  const mute = { result: nothing, document: nothing, note: nothing, warn: nothing, status: nothing };
  return { ...output, ...mute, live: false, stream: () => true };
}
