import type { SafetensorsFile } from '../../formats/safetensors.ts';

/** The rotations of a run, to be exported. */
export interface Exported {
  readonly rotations: SafetensorsFile;
  /** Name of the run. */
  readonly run: string;
}

export interface ExportFormat {
  /** Writes a file, whole or not at all. @returns names of the tensors in it. */
  write(exported: Exported, out: string): Promise<string[]>;
}
