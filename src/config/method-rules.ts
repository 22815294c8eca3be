/** Rules of the methods that an experiment uses, about their own options. */
import { optionsOf, roundingOf, scalingOf, trainingOf } from './derived.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import type { MethodDescriptor, MethodKind } from './methods/index.ts';
import type { Experiment } from './schema.ts';

/** The place of the methods of each kind in an experiment. */
export const SECTIONS = {
  training: ['training'],
  scaling: ['scaling'],
  rounding: ['quantization', 'weights'],
} as const satisfies Record<MethodKind, JsonPath>;

/** Faults between the options of a method. */
export function betweenOptions(experiment: Experiment): RuleFault[] {
  return [
    ...faultsOf(trainingOf(experiment), experiment.training),
    ...faultsOf(scalingOf(experiment), experiment.scaling),
    ...faultsOf(roundingOf(experiment.quantization), experiment.quantization.weights),
  ];
}

function faultsOf(method: MethodDescriptor | null, section: Readonly<Record<string, unknown>>): RuleFault[] {
  if (!method?.between) return [];
  return method.between(optionsOf(section, method.name)).map(({ option, code, message, hint }) => {
    const path = [...SECTIONS[method.kind], method.name, option];
    return { severity: 'error', code, path, message: `${formatPath(path)}: ${message}`, hint };
  });
}
