/** Numbers as people read them, the same in the terminal, in lenses, trees and panels. */
import { OVERFLOW } from './perplexity.ts';

/** Perplexity: three decimals below 100, one above; a dash where it was not measured. */
export function formatPerplexity(value: number | null): string {
  if (value === null) return '–';
  if (value === Number.POSITIVE_INFINITY) return OVERFLOW;
  return value < 10_000 ? value.toFixed(value < 100 ? 3 : 1) : value.toExponential(2);
}

/** `+1.234`, against another number; a dash when either is missing or too large for a number. */
export function formatDelta(value: number | null, base: number | null): string {
  if (value === null || base === null) return '–';
  const delta = value - base;
  if (!Number.isFinite(delta)) return '–';
  return `${delta < 0 ? '−' : '+'}${formatPerplexity(Math.abs(delta))}`;
}

/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** Two digits, for what is not known better: `320 MiB`, `1.4 GiB`. */
export function formatRoughBytes(bytes: number): string {
  const power = Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)) * 10;
  const rough = Number((bytes / 2 ** power).toPrecision(2)) * 2 ** power;
  return formatBytes(rough).replace(/\.0 /, ' ');
}

/** `1 step`, `2 steps`: a number of things whose name takes an s. */
export function formatCount(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
