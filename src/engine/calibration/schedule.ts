/** The learning rate falls over a run by one of these. The reference runs `cosine`, the paper states `linear`. */
export type Schedule = 'cosine' | 'linear' | 'constant';

/**
 * Learning rate of a step; no warm-up.
 * cosine: η/2·(1 + cos(πs/S)); linear: η(1 − s/S); constant: η.
 * @param step s, from 0 to steps − 1.
 * @param steps S.
 */
export function learningRateAt(schedule: Schedule, base: number, step: number, steps: number): number {
  switch (schedule) {
    case 'cosine':
      return (base / 2) * (1 + Math.cos((Math.PI * step) / steps));
    case 'linear':
      return base * (1 - step / steps);
    case 'constant':
      return base;
  }
}
