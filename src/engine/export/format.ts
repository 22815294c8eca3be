import type { SafetensorsFile } from '../../formats/safetensors.ts';

/** What is exported: the rotations of a run, and the run that they are of. */
export interface Exported {
  readonly rotations: SafetensorsFile;
  /** Name of the run. */
  readonly run: string;
}

export interface ExportFormat {
  /** Writes a file, whole or not at all. @returns names of the tensors in it. */
  write(exported: Exported, out: string): Promise<string[]>;
}
