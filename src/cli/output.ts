import { createColors } from 'picocolors';

type Colors = ReturnType<typeof createColors>;

/**
 * Where a command writes: what was asked for to stdout, everything else to stderr.
 * With `--json` stdout gets exactly one JSON document and nothing for people.
 */
export interface Output {
  readonly json: boolean;
  /** Colours of stderr; none when it is not a terminal. */
  readonly colors: Colors;
  /** stderr is a terminal: one line may be rewritten in place. */
  readonly live: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  /** A result for people: a line on stdout; nothing with `--json`. */
  result(text: string): void;
  /** The JSON document; nothing without `--json`. */
  document(value: unknown): void;
  /** Progress, warnings and errors: a line on stderr. */
  note(text: string): void;
  /** Rewrites the present line of a terminal; an empty text clears it. */
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
    columns: process.stderr.columns || 80, // 0 where the terminal does not know
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
