import { UserError } from '../../protocol/errors.ts';
import type { CheckpointSettings, TargetRow } from '../../protocol/export-plan.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Tokenizer } from '../model/tokenizer.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import type { NetworkQuantizers } from '../network/network-quantizers.ts';
import type { SeamMaps } from '../network/seams.ts';

/** What decides whether a format has a place for a network: known before weights are rounded, which may take hours. */
export interface ExportQuestion extends NetworkQuantizers {
  readonly config: ModelConfig;
  readonly maps: SeamMaps;
  /** The method that rounds the weights, and whether to numbers that no grid holds. */
  readonly method: string;
  readonly dense: boolean;
  /** True of what has a clip ratio in each site of each layer: quantizers of settings do not tell it. */
  readonly siteClips?: { readonly activations: boolean; readonly keys: boolean; readonly values: boolean };
  readonly settings: CheckpointSettings;
}

export interface CheckpointToWrite {
  readonly cache: ProgramCache;
  /** Merged, with its maps. */
  readonly network: Network;
  readonly tokenizer: Tokenizer;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
  readonly settings: CheckpointSettings;
}

/** A format of checkpoints. */
export interface CheckpointFormat {
  /** What becomes of each part of a run. */
  rows(question: ExportQuestion): TargetRow[];
  /** What the program rounds while it computes, in the place of a run's quantizers; the weights are those that are given. */
  computed(run: LayerQuantizers, settings: CheckpointSettings): LayerQuantizers;
  /**
   * Writes the files of the model. @returns their names.
   * @throws UserError `export/…`, `file/unwritable`; Cancelled.
   */
  write(folder: string, model: CheckpointToWrite, signal?: AbortSignal): Promise<string[]>;
  /**
   * The written model as a network without rounded activations, keys and values: its losses are those of the network that
   * was written, but for the rounding of what was written.
   * @param scratch a folder that is removed later.
   * @returns null where a file is too long for our reader.
   */
  readBack(folder: string, model: CheckpointToWrite, scratch: string): Promise<Network | null>;
  /** How the folder is loaded, in Markdown, for its README. */
  usage(question: ExportQuestion): string[];
}

/** @throws UserError `export/refused` for the first part that a format has no place for. */
export function expectPlace(rows: readonly TargetRow[], title: string): void {
  const refused = rows.find(({ verdict }) => verdict === 'refused');
  if (!refused) return;
  const { part, run, there, hint = '' } = refused;
  throw new UserError(
    'export/refused',
    `${title} has no place for the ${part} of this run (${run}): ${there}.`,
    hint,
  );
}
