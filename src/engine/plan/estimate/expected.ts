/** What work is expected to take on this machine, as a person asks before it begins. */
export interface Expected {
  readonly seconds: number;
  /** Of the process at its largest, mapped weights included; null where no step is known to take any. */
  readonly peakBytes: number | null;
}

interface Part {
  readonly seconds: number | null;
  readonly peakBytes: number | null;
}

/** Steps run one after the other, and leave their memory to the next. */
export function expectedOf(steps: readonly Part[]): Expected {
  const sizes = steps.flatMap(({ peakBytes }) => peakBytes ?? []);
  return {
    seconds: steps.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0),
    peakBytes: sizes.length === 0 ? null : Math.max(...sizes),
  };
}
