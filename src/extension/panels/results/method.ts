import type { Experiment, Quantization } from '../../../config/index.ts';
import type { Setting } from '../../../protocol/panels/results.ts';

/**
 * What papers call an experiment: `RTN`, `GPTQ`, `Hadamard R1–R4 + RTN`, `SpinQuant had + GPTQ`.
 * SpinQuant learns R1 or R2 by cross-entropy, `Learned (peak)` by an objective on captured activations; `no_had` is
 * without the online transforms R3 and R4.
 */
export function methodName({
  rotation,
  quantization,
}: Pick<Experiment, 'rotation' | 'quantization'>): string {
  const rounding = quantization.weights.bits < 16 ? quantization.weights.method.toUpperCase() : null;
  const rotations = rotationName(rotation);
  if (rotations === null) return rounding ?? 'round activations';
  return rounding === null ? rotations : `${rotations} + ${rounding}`;
}

function rotationName({ r1, r2, r3, r4, learning }: Experiment['rotation']): string | null {
  const kinds = [r1, r2];
  if (kinds.includes('learned')) {
    const online = r3 && r4 ? 'had' : r3 || r4 ? `had ${r3 ? 'R3' : 'R4'}` : 'no_had';
    const which = kinds.every((kind) => kind === 'learned') ? '' : ` ${r1 === 'learned' ? 'R1' : 'R2'} only`;
    return `${learnerName(learning)} ${online}${which}`;
  }
  const acting = [r1 !== 'none', r2 !== 'none', r3, r4].flatMap((on, index) => (on ? [index + 1] : []));
  if (acting.length === 0) return null;
  return `${kinds.includes('random') ? 'Random' : 'Hadamard'} ${rangeName(acting)}`;
}

function learnerName({ objective }: Experiment['rotation']['learning']): string {
  return objective === 'cross-entropy' ? 'SpinQuant' : `Learned (${objective})`;
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
