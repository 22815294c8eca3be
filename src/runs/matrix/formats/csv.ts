import type { MatrixTable } from '../summary.ts';
import { type CellDocument, cellDocuments } from './json.ts';

const COLUMNS = [
  ...([
    'method',
    'title',
    'bits',
    'seed',
    'metric',
    'name',
    'value',
    'standardError',
    'count',
    'limit',
  ] as const),
  ...(['seconds', 'peakBytes', 'status', 'run', 'model', 'measuredAt', 'message'] as const),
  ...(['averageBits', 'exceptions'] as const),
] satisfies (keyof CellDocument)[];

/** A line for each number, with all its digits (RFC 4180). */
export function csv(table: MatrixTable): string {
  const lines = cellDocuments(table).map((cell) => COLUMNS.map((column) => field(cell[column])));
  return [COLUMNS.join(','), ...lines.map((fields) => fields.join(','))].join('\r\n');
}

function field(value: string | number | null): string {
  const text = value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
