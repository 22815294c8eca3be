import { createColors } from 'picocolors';

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
  /** Writes the JSON document; nothing without `--json`. */
  document(value: unknown): void;
  /** Writes progress, a warning or an error as a line on stderr. */
  note(text: string): void;
  /** Rewrites the terminal's current line; an empty text clears it. */
  status(text: string): void;
}

export function createOutput(json: boolean): Output {
  const live = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
  const colors = createColors(live && !process.env.NO_COLOR);
  const clear = live ? '\r\u001b[K' : '';
  return {
    json,
    colors,
    live,
    columns: process.stderr.columns || 80, // It is 0 where unknown.
    result(text) {
      if (!json) process.stdout.write(`${text}\n`);
    },
    document(value) {
      if (json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
    },
    note(text) {
      process.stderr.write(`${clear}${text}\n`);
    },
    status(text) {
      if (live) process.stderr.write(clear + text);
    },
  };
}
