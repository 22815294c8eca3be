/** The cells of an experiment that was checked, as experiments that can be run. */

import { createHash } from 'node:crypto';
import { measuredAt } from '../../protocol/precision.ts';
import { ONLY_CELL } from '../../protocol/table-cell.ts';
import { bitsLabel, hasLearnedRotation, isSeeded } from '../derived.ts';
import { withoutIdleChoices } from '../exceptions.ts';
import { asCellsWere } from '../later-options.ts';
import { METHODS } from '../methods/index.ts';
import { portableExperiment, type ResolvedExperiment, resolvePortable } from '../resolve.ts';
import { type Cell, type CellName, cellsOf } from './expand.ts';

export interface ResolvedCell extends CellName {
  readonly experiment: ResolvedExperiment;
  /** Tells the settings that decide the numbers of the cell: runs of equal settings have equal ones. */
  readonly key: string;
  /** The cell with the place of its row in the text. */
  readonly cell: Cell;
}

/** @returns none for an experiment without a matrix. What computes, and where runs go, is the experiment's own. */
export function resolvedCells(experiment: ResolvedExperiment): ResolvedCell[] {
  const { matrix, source, device, threads, memoryLimit, runs } = experiment;
  if (!matrix) return [];
  return cellsOf(source.written, matrix).map((cell) => {
    const { bits, method, title, seed, seeded, experiment: settings } = cell;
    const quantization = withoutIdleChoices(settings.quantization);
    const portable = resolvePortable({ ...settings, quantization }, source.file);
    const own = { ...portable, device, threads, memoryLimit, runs };
    return { bits, method, title, seed, seeded, cell, experiment: own, key: settingsKey(own) };
  });
}

/** The cells that a cluster is handed: those of the matrix, or the experiment as the only one. */
export function clusterCells(experiment: ResolvedExperiment): ResolvedCell[] {
  return experiment.matrix ? resolvedCells(experiment) : [onlyCell(experiment)];
}

function onlyCell({ cluster: _, ...experiment }: ResolvedExperiment): ResolvedCell {
  const { seed } = experiment.rotation;
  const name = { bits: bitsLabel(experiment.quantization), method: ONLY_CELL, title: 'Experiment' };
  const cell = { ...name, seed, seeded: isSeeded(experiment) };
  const written = { experiment, path: [], ownSettings: null, patch: null };
  return { ...cell, experiment, key: settingsKey(experiment), cell: { ...cell, ...written } };
}

/** Everything that decides the numbers of a run, where it computes and what else is measured aside. */
function settingsKey(experiment: ResolvedExperiment): string {
  const { model, calibration, quantization, rotation, scaling, training, evaluation } =
    portableExperiment(experiment);
  const { precision, ...measured } = evaluation;
  const deciding = {
    ...{ model, calibration, evaluation: { ...measured, ...measuredAt(precision) } },
    quantization: { ...quantization, weights: ofChosen(quantization.weights) },
    rotation: hasLearnedRotation(rotation) ? rotation : { ...rotation, learning: null, start: null },
    ...{ scaling: ofChosen(scaling), training: ofChosen(training) },
  };
  return createHash('sha256')
    .update(JSON.stringify(asCellsWere(deciding)))
    .digest('hex')
    .slice(0, 32);
}

/** A section without the options of methods that are not chosen: they decide nothing. */
export function ofChosen(section: { readonly method: string }): object {
  const others = METHODS.filter(({ name }) => name !== section.method).map(({ name }) => name);
  return Object.fromEntries(Object.entries(section).filter(([key]) => !others.includes(key)));
}
