import { writeSafetensors } from '../../formats/safetensors-write.ts';
import type { ExportFormat } from './format.ts';

/** The rotations as the run keeps them, with the run's name beside where they come from. */
export const format: ExportFormat = {
  async write({ rotations, run }, out) {
    const { tensors, metadata } = rotations;
    await writeSafetensors(out, Object.fromEntries(tensors), { ...metadata, run });
    return [...tensors.keys()];
  },
};
