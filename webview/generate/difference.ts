/** The steps of colour of a difference of log-probabilities. */

/** Ends of the steps, in nats: a tenth hardly shows in a choice of tokens; at 0.5 the odds are e^0.5; at 2, a seventh. */
export const STEPS = [0.1, 0.5, 2] as const;

export type Level = -3 | -2 | -1 | 0 | 1 | 2 | 3;
export const LEVELS: readonly Level[] = [-3, -2, -1, 0, 1, 2, 3];

/** −3 … −1: less likely than at full precision; 0: alike; 1 … 3: more likely. */
export function levelOf(difference: number): Level {
  const size = STEPS.filter((step) => Math.abs(difference) >= step).length;
  return (difference < 0 && size > 0 ? -size : size) as Level;
}

/** `−0.73`, `+0.02`: two decimals are as fine as colours are not. */
export function formatDifference(value: number): string {
  const text = Math.abs(value).toFixed(2);
  if (text === '0.00') return '0.00';
  return `${value < 0 ? '−' : '+'}${text}`;
}

/** A log-probability, which is never above 0. */
export const formatLog = (value: number): string => (value > -0.005 ? '0.00' : `−${(-value).toFixed(2)}`);

/** A token between quotation marks, in one line; a sign for one without a text of its own. */
export function quoted(text: string): string {
  return text === '' ? '◦' : `“${text.replaceAll('\n', '↵')}”`;
}
