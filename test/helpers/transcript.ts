/** Writes what a run says as a text, without what differs from time to time and from place to place. */
import type { RunEvent } from '../../src/protocol/events.ts';

/** Said at moments that a clock decides. */
const BY_THE_CLOCK: ReadonlySet<RunEvent['type']> = new Set(['checkpoint', 'rounding-progress']);
/** When, and for how long. */
const TIMES: readonly string[] = ['time', 'seconds'];
/** Nothing but rounding: another processor has others of this size. */
const ROUNDING: readonly string[] = ['orthogonalityError', 'maxLogitDifference', 'relative'];
const SMALL = 1e-4;
const DIGITS = 3;

/**
 * An event a line, each field as `name=value` in the order of names. Numbers that are not whole have a point and three
 * significant digits.
 * @param names what stands for texts that differ from machine to machine.
 */
export function transcriptOf(events: readonly RunEvent[], names: ReadonlyMap<string, string>): string {
  const lines = events
    .filter(({ type }) => !BY_THE_CLOCK.has(type))
    .map((event) => {
      const { type, ...fields } = event;
      return [type, ...fieldsOf(fields)].join(' ');
    });
  const text = `${lines.join('\n')}\n`;
  return [...names].reduce((all, [found, name]) => all.replaceAll(found, name), text);
}

function fieldsOf(record: object): string[] {
  const fields = Object.entries(record).filter(([name]) => !TIMES.includes(name));
  return fields.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${shown(name, value)}`);
}

function shown(name: string, value: unknown): string {
  if (typeof value === 'number') {
    if (ROUNDING.includes(name) && value <= SMALL) return 'small';
    if (Number.isInteger(value)) return String(value);
    return Math.abs(value) < 100 ? value.toPrecision(DIGITS) : value.toExponential(DIGITS - 1);
  }
  if (Array.isArray(value)) return `[${value.map((one) => shown('', one)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return `{${fieldsOf(value).join(' ')}}`;
  return String(value);
}

/** Lists what differs between two transcripts, a line each; numbers may be apart by a share of themselves. */
export function differences(found: string, expected: string, share: number): string[] {
  const [here, there] = [found.split('\n'), expected.split('\n')];
  const count = Math.max(here.length, there.length);
  return Array.from({ length: count }, (_, index) => [here[index], there[index]] as const).flatMap(
    ([own, other], index) =>
      own !== undefined && other !== undefined && alike(own, other, share)
        ? []
        : [`line ${index + 1}: ${own ?? 'nothing'}\n  expected ${other ?? 'nothing'}`],
  );
}

/** Matches numbers that are not whole, as they are printed above. */
const NUMBER = /(?<==)-?\d+\.\d+(?:e[+-]?\d+)?(?=[ \]}]|$)/g;

function alike(own: string, other: string, share: number): boolean {
  if (own.replace(NUMBER, '#') !== other.replace(NUMBER, '#')) return false;
  const numbers = (line: string) => (line.match(NUMBER) ?? []).map(Number);
  const theirs = numbers(other);
  return numbers(own).every((number, index) => {
    const wanted = theirs[index] ?? Number.NaN;
    return Math.abs(number - wanted) <= share * Math.abs(wanted);
  });
}
