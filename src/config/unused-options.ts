/** Rules for options that are written and that nothing reads. */
import { isObject } from '../protocol/object.ts';
import { hasLearnedRotation, optionsOf, roundingOf, scalingOf, trainingOf } from './derived.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import { SECTIONS } from './method-rules.ts';
import { type MethodDescriptor, type MethodKind, methodsOf } from './methods/index.ts';
import type { Experiment } from './schema.ts';
import { type Learning, rotationSchema } from './schema-rotation.ts';

/** Options of a method that is not chosen, or that has nothing to do. Those that have their default say nothing. */
export function optionsOfOtherMethods(experiment: Experiment): RuleFault[] {
  return [
    ...unusedOptions('training', experiment, trainingOf(experiment)?.name),
    ...unusedOptions('scaling', experiment, scalingOf(experiment)?.name),
    ...unusedOptions('rounding', experiment, roundingOf(experiment.quantization)?.name),
  ];
}

function unusedOptions(kind: MethodKind, experiment: Experiment, chosen: string | undefined): RuleFault[] {
  const { training, scaling, quantization } = experiment;
  const section = { training, scaling, rounding: quantization.weights }[kind];
  const methods = methodsOf(kind).filter(({ name }) => name !== chosen);
  return methods.flatMap((method) => {
    const keys = changedKeys(method, section);
    if (keys.length === 0) return [];
    const path = [...SECTIONS[kind], method.name];
    const named = section.method === method.name;
    const [reason, way] = named
      ? ['quantization.weights.bits is 16, so weights are not rounded', 'Give weights fewer than 16 bits']
      : [`${formatPath([...SECTIONS[kind], 'method'])} is "${section.method}"`, `Set it to "${method.name}"`];
    return [unused(path, `${listed(keys)} not read: ${reason}.`, `${way}, or leave "${method.name}" out.`)];
  });
}

/** The keys of a method's options that do not have their default. */
function changedKeys(
  { name, options }: MethodDescriptor,
  section: Readonly<Record<string, unknown>>,
): string[] {
  if (options === null) return [];
  const [values, defaults] = [optionsOf(section, name), options.parse(undefined)];
  return differingKeys(values, defaults);
}

/** The keys of a flat section that do not have the value of another. */
function differingKeys(values: unknown, others: unknown): string[] {
  if (!isObject(values) || !isObject(others)) return [];
  return Object.keys(values).filter((key) => values[key] !== others[key]);
}

/** Settings of grids and transforms that are not there. */
export function settingsOfNothing({ quantization: { activations }, rotation }: Experiment): RuleFault[] {
  const { bits, symmetric, fullRange } = activations;
  const faults: RuleFault[] = [];
  if (fullRange && bits < 16 && !symmetric)
    faults.push(
      unused(
        ['quantization', 'activations', 'fullRange'],
        'true is not read: the grid of activations is asymmetric, and has all its codes.',
        'Set quantization.activations.symmetric to true, or leave this out.',
      ),
    );
  if (rotation.r2 === 'none' && rotation.r2Per !== 'layer')
    faults.push(
      unused(
        ['rotation', 'r2Per'],
        `"${rotation.r2Per}" is not read: rotation.r2 is "none".`,
        'Set rotation.r2 to another kind, or leave this out.',
      ),
    );
  if (!rotation.r4 && rotation.r4Blocks !== 'widest')
    faults.push(
      unused(
        ['rotation', 'r4Blocks'],
        `"${rotation.r4Blocks}" is not read: rotation.r4 is false.`,
        'Set rotation.r4 to true, or leave this out.',
      ),
    );
  return faults;
}

/** Settings of learning where nothing is learned. */
export function learningOfNothing({ rotation }: Experiment): RuleFault[] {
  if (hasLearnedRotation(rotation)) return [];
  const { r1, r2, start, learning } = rotation;
  const keys = differingKeys(learning, learningDefaults({ objective: learning.objective }));
  // Defaults of other keys follow the objective, which alone is written then.
  if (learning.objective !== learningDefaults({}).objective) keys.unshift('objective');
  const reason = `rotation.r1 is "${r1}" and r2 is "${r2}", so nothing is learned`;
  const hint = 'Set rotation.r1 or rotation.r2 to "learned", or leave this out.';
  const faults: RuleFault[] = [];
  if (start !== rotationSchema.parse(undefined).start)
    faults.push(unused(['rotation', 'start'], `"${start}" is not read: ${reason}.`, hint));
  if (keys.length > 0)
    faults.push(unused(['rotation', 'learning'], `${listed(keys)} not read: ${reason}.`, hint));
  return faults;
}

/** Each step of procrustes goes all the way, on all rows: settings of steps along a gradient are not read. */
export function stepsWithoutGradient({ rotation }: Experiment): RuleFault[] {
  const { learning } = rotation;
  if (learning.objective !== 'procrustes' || !hasLearnedRotation(rotation)) return [];
  const defaults = learningDefaults({ objective: learning.objective });
  const keys = (['optimizer', 'learningRate', 'schedule', 'gradientClip'] as const).filter(
    (key) => learning[key] !== defaults[key],
  );
  if (keys.length === 0) return [];
  const reason = `${listed(keys)} not read: steps of the objective "procrustes" follow no gradient.`;
  return [unused(['rotation', 'learning'], reason, 'Leave this out, or learn by "peak".')];
}

function learningDefaults(learning: Pick<Partial<Learning>, 'objective'>): Learning {
  return rotationSchema.parse({ learning }).learning;
}

/** Writes `samples is`, or `samples and alpha are`. */
function listed(keys: readonly string[]): string {
  const last = keys.at(-1) ?? '';
  return keys.length === 1 ? `${last} is` : `${keys.slice(0, -1).join(', ')} and ${last} are`;
}

function unused(path: JsonPath, message: string, hint: string): RuleFault {
  return {
    severity: 'warning',
    code: 'config/unused-option',
    path,
    message: `${formatPath(path)}: ${message}`,
    hint,
  };
}
