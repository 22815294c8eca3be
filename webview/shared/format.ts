/** Numbers as panels show them. Perplexities and durations look as in the terminal. */
export { formatBytes, formatDelta, formatPerplexity, formatSeconds } from '../../src/protocol/text.ts';

/** Four digits; powers of ten for the very small and large; a dash where a number is missing. */
export function formatNumber(value: number | null, digits = 4): string {
  if (value === null || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return formatPower(value, Math.min(digits, 2));
  const text = value.toPrecision(digits);
  return minus(text.includes('e') ? String(Number(text)) : text);
}

/** `1.2e−7` */
export function formatPower(value: number, digits = 2): string {
  return minus(value.toExponential(digits - 1).replace('e+', 'e'));
}

/** The sign that is as wide as a plus. */
function minus(text: string): string {
  return text.replaceAll('-', '−');
}

/** One decimal, as decibels are read. */
export function formatDecibel(value: number | null): string {
  return value === null ? '–' : minus(value.toFixed(1));
}

const AGES = new Map<string, Intl.RelativeTimeFormat>();

/** One for all rows: to make it takes longer than to draw a row. */
function ageFormat(locale: string): Intl.RelativeTimeFormat {
  const known = AGES.get(locale);
  if (known) return known;
  const made = new Intl.RelativeTimeFormat(locale, { style: 'short', numeric: 'auto' });
  AGES.set(locale, made);
  return made;
}

/** `2 h ago`, in the person's language. */
export function formatAge(iso: string, now: number, locale: string): string {
  const seconds = (new Date(iso).getTime() - now) / 1000;
  if (Number.isNaN(seconds)) return '–';
  const units = [
    ['minute', 60],
    ['hour', 3600],
    ['day', 86_400],
    ['week', 604_800],
    ['month', 2_629_800],
    ['year', 31_557_600],
  ] as const;
  const unit = units.findLast(([, size]) => Math.abs(seconds) >= size) ?? units[0];
  return ageFormat(locale).format(Math.round(seconds / unit[1]), unit[0]);
}

/** `8 192` with the thousands apart by a thin space that does not break. */
export function formatCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}
