import {
  type Experiment,
  type Quantization,
  roundingOf,
  scalingOf,
  trainingOf,
} from '../../../config/index.ts';
import type { Setting } from '../../../protocol/panels/results.ts';

/**
 * The name that papers give an experiment: `RTN`, `Hadamard R1–R4 + RTN`, `SpinQuant had + GPTQ`,
 * `SmoothQuant + RTN`, `QuaRot + RTN`. Methods stand in the order in which they act; `no_had` is without R3 and R4.
 */
export function methodName(
  experiment: Pick<Experiment, 'training' | 'scaling' | 'rotation' | 'quantization'>,
): string {
  const parts = [
    trainingOf(experiment)?.title,
    scalingOf(experiment)?.title,
    rotationName(experiment.rotation),
    roundingOf(experiment.quantization)?.title,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? 'round activations' : parts.join(' + ');
}

function rotationName(rotation: Experiment['rotation']): string | undefined {
  const { acrossHeads, ...others } = rotation;
  const name = nameOfR1ToR4(others);
  if (!acrossHeads) return name;
  if (name === undefined) return 'Hadamard H';
  return name === 'Hadamard R1–R4' ? 'QuaRot' : `${name} H`;
}

function nameOfR1ToR4(rotation: Omit<Experiment['rotation'], 'acrossHeads'>): string | undefined {
  const { r1, r2, r3, r4 } = rotation;
  const kinds = [r1, r2];
  if (kinds.includes('learned')) {
    const online = r3 && r4 ? 'had' : r3 || r4 ? `had ${r3 ? 'R3' : 'R4'}` : 'no_had';
    const which = kinds.every((kind) => kind === 'learned') ? '' : ` ${r1 === 'learned' ? 'R1' : 'R2'} only`;
    return `${learnerName(rotation)} ${online}${which}`;
  }
  const acting = [r1 !== 'none', r2 !== 'none', r3, r4].flatMap((on, index) => (on ? [index + 1] : []));
  if (acting.length === 0) return undefined;
  return `${kinds.includes('random') ? 'Random' : 'Hadamard'} ${rangeName(acting)}`;
}

/** SpinQuant learns by cross-entropy, from a Hadamard or a random start; everything else about learning is named. */
function learnerName({
  start,
  learning: { objective },
}: Pick<Experiment['rotation'], 'start' | 'learning'>): string {
  const fromNetwork = objective === 'cross-entropy';
  const others = [...(fromNetwork ? [] : [objective]), ...(start === 'captured' ? ['captured start'] : [])];
  return `${fromNetwork ? 'SpinQuant' : 'Learned'}${others.length === 0 ? '' : ` (${others.join(', ')})`}`;
}

/** `R1–R4` for all, `R1 R2` for some. */
function rangeName(numbers: readonly number[]): string {
  return numbers.length === 4 ? 'R1–R4' : numbers.map((number) => `R${number}`).join(' ');
}

/** Bits of weights, activations and KV cache as papers print them: `4-4-4`, or `4-4-K4V8`. */
export function paperBits({ weights, activations, keys, values }: Quantization): string {
  const cache = keys.bits === values.bits ? String(keys.bits) : `K${keys.bits}V${values.bits}`;
  return `${weights.bits}-${activations.bits}-${cache}`;
}

/** Every key of an experiment by its dotted path, in the order of the schema. An empty list is null. */
export function flatSettings(experiment: Experiment): Record<string, Setting> {
  const settings: Record<string, Setting> = {};
  flatten(experiment, '', settings);
  return settings;
}

function flatten(value: unknown, path: string, settings: Record<string, Setting>): void {
  if (typeof value !== 'object' || value === null) {
    settings[path] = value as Setting; // The experiment came through its schema: only JSON values are left.
    return;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) settings[path] = null;
  for (const [key, inner] of entries) flatten(inner, path ? `${path}.${key}` : key, settings);
}
