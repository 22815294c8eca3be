import { UserError } from '../protocol/errors.ts';
import { printable } from '../protocol/printable.ts';

/** A place in a text. Offset and length are in UTF-16 units; line and column count from 1, as in editors. */
export interface TextRange {
  readonly offset: number;
  readonly length: number;
  readonly line: number;
  readonly column: number;
}

export type JsonPath = readonly (string | number)[];

/** A fault of an experiment before it has a place in the text. */
export interface RuleFault {
  readonly severity: 'error' | 'warning';
  /** Stable identifier, for quick fixes and tests: `config/unknown-key` … */
  readonly code: string;
  readonly path: JsonPath;
  readonly message: string;
  readonly hint: string;
}

/** One fault of an experiment file, at its place. */
export interface Fault extends RuleFault {
  readonly range: TextRange;
}

/** Sorts faults in the order of the text and drops repetitions at one place. */
export function uniqueFaults<F extends Fault>(faults: readonly F[]): F[] {
  const byPlace = new Map(
    faults.map((fault) => [`${fault.range.offset} ${fault.code} ${fault.message}`, fault]),
  );
  return [...byPlace.values()].sort((a, b) => a.range.offset - b.range.offset);
}

/**
 * The experiment file cannot be used. The error carries every fault, and its message shows all of them, each with its
 * hint below where they have different ones.
 */
export class ExperimentError extends UserError {
  readonly file: string;
  readonly faults: readonly Fault[];

  constructor(file: string, faults: readonly Fault[]) {
    const errors = faults.filter((fault) => fault.severity === 'error');
    const count = errors.length === 1 ? 'a fault' : `${errors.length} faults`;
    const hints = errors.map(({ message, hint }) => (message.includes(hint) ? '' : hint));
    // One hint for all stands below the message, as that of any other error.
    const severalHints = new Set(hints).size > 1;
    const lines = errors.flatMap((fault, index) => {
      const hint = hints[index] ?? '';
      const isFirst = hints.indexOf(hint) === index;
      const below = severalHints && isFirst && hint !== '' ? [`    ${printable(hint)}`] : [];
      return [`  ${formatFault(file, fault)}`, ...below];
    });
    const first = errors[0];
    super(first?.code ?? 'config/invalid', `${file} has ${count}:\n${lines.join('\n')}`, first?.hint ?? '');
    this.file = file;
    this.faults = faults;
  }
}

/** A message with what to do behind it, unless it says so itself. */
export function withHint(message: string, hint: string): string {
  return hint === '' || message.includes(hint) ? message : `${message} ${hint}`;
}

/** Writes `quick.spinquant.json:4:13: message`, the form that terminals and editors turn into links. */
export function formatFault(file: string, fault: Fault): string {
  return printable(`${file}:${fault.range.line}:${fault.range.column}: ${fault.message}`);
}

/** Writes `quantization.weights.bits` or `evaluation.perplexity[0].name`; the whole file is `the experiment`. */
export function formatPath(path: JsonPath): string {
  if (path.length === 0) return 'the experiment';
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('');
}

/** Converts offsets of one text to lines and columns. */
export class LineIndex {
  private readonly starts: number[] = [0];

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.starts.push(at + 1);
  }

  range(offset: number, length: number): TextRange {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { offset, length, line: low + 1, column: offset - this.starts[low]! + 1 };
  }
}
