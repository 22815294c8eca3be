/** Which run of an experiment the layer tree is about. Knows nothing of the editor. */
import { tableCell } from '../../protocol/table-cell.ts';
import type { RunSummary } from '../runs/summaries.ts';
import type { Job } from '../services.ts';
import type { LayerTreeInput } from './model.ts';

export interface SubjectInput {
  /** Runs of the file, newest first. */
  readonly summaries: readonly RunSummary[];
  /** True for an experiment with a matrix. */
  readonly isTable: boolean;
  /** The job that optimizes this file, if it runs. */
  readonly job: Job | null;
  /** True when a run has the file. */
  has(summary: RunSummary, file: 'activations' | 'rotations'): boolean;
}

export interface Subject {
  /** The run whose activations are shown. */
  readonly measured: RunSummary | null;
  /** The cell whose settings are shown in the place of the file's; null for those of the file. */
  readonly cell: RunSummary | null;
  /** State of learned rotations. */
  readonly progress: LayerTreeInput['progress'];
}

export function subjectOf(input: SubjectInput): Subject {
  // Cells have settings of their own, which are not those of their file.
  const own = input.summaries.filter(({ run }) => (tableCell(run.record) !== null) === input.isTable);
  const measured = own.find((summary) => input.has(summary, 'activations')) ?? null;
  const atWork = own.find(({ run }) => run.dir === input.job?.runDir) ?? null;
  if (!input.isTable) {
    const learned = own.find((summary) => input.has(summary, 'rotations')) ?? null;
    const isLearning = input.job !== null && (atWork === null || !input.has(atWork, 'rotations'));
    return { measured, cell: null, progress: isLearning ? 'learning' : stateOf(learned) };
  }
  const cell = atWork ?? measured ?? own[0] ?? null;
  const learned = cell !== null && input.has(cell, 'rotations') ? cell : null;
  return {
    measured: cell !== null && input.has(cell, 'activations') ? cell : null,
    cell,
    progress: learned === null && atWork !== null ? 'learning' : stateOf(learned),
  };
}

/** @param learned a run with rotations. */
function stateOf(learned: RunSummary | null): Subject['progress'] {
  if (learned === null) return 'none';
  return learned.results === null ? 'learned' : 'merged';
}
