/** Why cells of a matrix stay empty. Reads the model's headers alone, and computes nothing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  faultsOfCell,
  type ResolvedCell,
  type ResolvedExperiment,
  resolvedCells,
} from '../../../config/index.ts';
import { locateModel } from '../../../hub/locate.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { CellReasons } from '../../../protocol/worker.ts';
import { openCheckpoint } from '../../model/checkpoint.ts';
import type { ModelConfig } from '../../model/config.ts';
import { errorsOf } from '../check/check-model.ts';

/** Why a cell stays empty; undefined where it can be computed. */
export function obstacleOf({ cell, experiment }: ResolvedCell, config: ModelConfig): string | undefined {
  return [...faultsOfCell(cell), ...errorsOf(experiment, config)][0]?.message;
}

/**
 * The reasons of all cells that stay empty, by the keys of the cells. A table outlives its model: without one that can
 * be read, there are none.
 */
export async function obstaclesOf(experiment: ResolvedExperiment): Promise<CellReasons> {
  const config = await configOf(experiment.model);
  if (config === null) return {};
  return Object.fromEntries(
    resolvedCells(experiment).flatMap((cell) => {
      const reason = obstacleOf(cell, config);
      return reason === undefined ? [] : [[cell.key, reason]];
    }),
  );
}

async function configOf(model: string): Promise<ModelConfig | null> {
  try {
    const folder = locateModel(model);
    // The checkpoint, since sizes that its tensors deny say nothing of the settings.
    return folder !== null && existsSync(join(folder, 'config.json'))
      ? (await openCheckpoint(folder)).config
      : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
