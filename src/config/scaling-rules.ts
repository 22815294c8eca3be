/** Rules that tie a scaling method to rotations and to the rounding of weights. */
import { SEAMS, type SeamName } from '../protocol/block.ts';
import { roundingOf, scaledSeams, scalingOf } from './derived.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import type { Experiment } from './schema.ts';

/** Rotations that stand where a scaling method may put scales. */
const ROTATIONS = { value: 'r2', 'up-down': 'r4' } as const satisfies Partial<Record<SeamName, string>>;

/** A seam holds one map: scales of channels and a rotation of the same channels do not go together. */
export function scalesAndRotation(experiment: Experiment): RuleFault[] {
  const [scaling, seams] = [scalingOf(experiment), scaledSeams(experiment)];
  return Object.entries(ROTATIONS).flatMap(([seam, name]) => {
    const value = experiment.rotation[name];
    if (!scaling || !seams.includes(seam as SeamName) || value === 'none' || value === false) return [];
    const { symbol } = SEAMS[seam as keyof typeof ROTATIONS];
    const off = typeof value === 'string' ? '"none"' : 'false';
    const found = typeof value === 'string' ? `"${value}"` : String(value);
    return [
      fault(
        'error',
        'config/scales-and-rotation',
        ['rotation', name],
        scaling.mixes
          ? `is ${found}, but ${scaling.title} has a map of its own at the same place as ${symbol}.`
          : `is ${found}, but ${scaling.title} scales single channels at the same place, which ${symbol} would mix.`,
        `Set rotation.${name} to ${off}, or scaling.method to another method.`,
      ),
    ];
  });
}

/** Rotations that spread what is rounded over all channels behind a scale. */
const BEHIND = { 'value-scale': 'r2', 'query-key-scale': 'r3', 'up-scale': 'r4' } as const satisfies Partial<
  Record<SeamName, string>
>;

/** Scales that are found for rotations behind them need these, and no mixing of heads that have scales of their own. */
export function scalesBeforeRotation({ rotation, scaling: section }: Experiment): RuleFault[] {
  const scaling = scalingOf({ scaling: section });
  const seams = scaledSeams({ scaling: section });
  const path = ['scaling', 'method'];
  const faults = Object.entries(BEHIND).flatMap(([seam, name]) => {
    const value = rotation[name];
    if (!scaling || !seams.includes(seam as SeamName) || (value !== 'none' && value !== false)) return [];
    return [
      fault(
        'error',
        'config/scales-before-rotation',
        path,
        `${scaling.title} scales channels for a rotation that spreads them, and rotation.${name} is ${typeof value === 'string' ? `"${value}"` : value}.`,
        `Switch rotation.${name} on, or set scaling.method to another method.`,
      ),
    ];
  });
  if (scaling && seams.includes('value-scale') && rotation.acrossHeads)
    faults.push(
      fault(
        'error',
        'config/mixed-heads',
        path,
        `${scaling.title} scales the channels of each head, but rotation.acrossHeads mixes heads.`,
        'Set rotation.acrossHeads to false, or scaling.method to another method.',
      ),
    );
  return faults;
}

/** Scales that only serve weights do nothing where weights stay, and little where a rotation evened out the channels. */
export function scalesForNothing(experiment: Experiment): RuleFault[] {
  const scaling = scalingOf(experiment);
  if (!scaling?.servesWeights) return [];
  const path = ['scaling', 'method'];
  if (roundingOf(experiment.quantization) === null)
    return [
      fault(
        'warning',
        'config/scales-for-nothing',
        path,
        `${scaling.title} serves the rounding of weights, but quantization.weights.bits is 16.`,
        'Give weights fewer than 16 bits, or set scaling.method to "none".',
      ),
    ];
  if (experiment.rotation.r1 === 'none') return [];
  return [
    fault(
      'warning',
      'config/scales-for-nothing',
      path,
      `${scaling.title} lives on channels that are larger than others, which rotation.r1 has evened out before: expect little of it.`,
      'Set rotation.r1 to "none" to see what it does by itself.',
    ),
  ];
}

function fault(
  severity: RuleFault['severity'],
  code: string,
  path: JsonPath,
  message: string,
  hint: string,
): RuleFault {
  return { severity, code, path, message: `${formatPath(path)}: ${message}`, hint };
}
