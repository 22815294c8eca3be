import type { StepColumns, TrainingState } from '../../src/protocol/panels/training.ts';

/** Puts the rows that came behind those that the page has. */
export function mergeCurves(state: TrainingState, before: TrainingState | null): TrainingState {
  const known = new Map(before?.curves.map(({ dir, steps }) => [dir, steps]));
  const curves = state.curves.map((curve) => {
    const old = known.get(curve.dir);
    if (curve.kept === 0 || old === undefined) return curve;
    return { ...curve, kept: 0, steps: joined(old, curve.kept, curve.steps) };
  });
  return { ...state, curves };
}

function joined(old: StepColumns, kept: number, tail: StepColumns): StepColumns {
  const names = Object.keys(tail) as (keyof StepColumns)[];
  // The same object where nothing came: whoever looks at it need not look again.
  if (tail.step.length === 0 && old.step.length === kept) return old;
  return Object.fromEntries(
    names.map((name) => [name, [...old[name].slice(0, kept), ...tail[name]]]),
    // Every column keeps its name and its kind.
  ) as unknown as StepColumns;
}
