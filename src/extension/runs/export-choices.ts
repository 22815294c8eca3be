/** What the editor offers to export of a run, from the registry of formats. Knows nothing of the editor. */
import {
  EXPORT_FORMAT_NAMES,
  EXPORT_FORMATS,
  EXPORT_TARGET_NAMES,
  EXPORT_TARGETS,
  type ExportFormatName,
  type ExportTarget,
  MODEL_FORMAT_NAMES,
  MODEL_FORMATS,
  type ModelFormatName,
  TABLE_BITS,
  type TableBits,
} from '../../protocol/export-formats.ts';

/** Rotations in a file, or the quantized model in a folder. */
export type Exported =
  | { readonly kind: 'rotations'; readonly format: ExportFormatName }
  | { readonly kind: 'model'; readonly format: ModelFormatName; readonly target: ExportTarget };

export interface Choice {
  readonly label: string;
  readonly description: string;
}

export type FormatChoice = Choice & { readonly exported: Exported };

export function formatChoices(): FormatChoice[] {
  const rotations = EXPORT_FORMAT_NAMES.map((format): FormatChoice => {
    const { title, summary } = EXPORT_FORMATS[format];
    return { label: title, description: summary, exported: { kind: 'rotations', format } };
  });
  const models = MODEL_FORMAT_NAMES.flatMap((format) =>
    EXPORT_TARGET_NAMES.map((target): FormatChoice => {
      const { title, summary } = EXPORT_TARGETS[target];
      const label = `${MODEL_FORMATS[format].title} ${title}`;
      return { label, description: summary, exported: { kind: 'model', format, target } };
    }),
  );
  return [...rotations, ...models];
}

/** The usual bits of the tables of tokens come first. */
export function tableBitsFirst(usual: TableBits): readonly TableBits[] {
  return [usual, ...TABLE_BITS.filter((bits) => bits !== usual)];
}
