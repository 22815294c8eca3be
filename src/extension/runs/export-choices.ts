/** What the editor offers to export of a run, from the registry of formats. Knows nothing of the editor. */
import {
  CHECKPOINT_FORMAT_NAMES,
  CHECKPOINT_FORMATS,
  EXPORT_FORMAT_NAMES,
  EXPORT_FORMATS,
  EXPORT_TARGET_NAMES,
  EXPORT_TARGETS,
  type ExportFormatName,
  type ExportTarget,
  GGUF_WEIGHT_TYPES,
  MODEL_FORMAT_NAMES,
  MODEL_FORMATS,
  type ModelFormatName,
  TABLE_BITS,
  type TableBits,
} from '../../protocol/export-formats.ts';
import {
  CHECKPOINT_DEFAULTS,
  type CheckpointSettings,
  costInWords,
  type PlannedExport,
} from '../../protocol/export-plan.ts';

/** Rotations in a file, or the quantized model in a folder of ONNX or of other programs. */
export type Exported =
  | { readonly kind: 'rotations'; readonly format: ExportFormatName }
  | { readonly kind: 'model'; readonly format: ModelFormatName; readonly target: ExportTarget }
  | { readonly kind: 'checkpoint'; readonly settings: CheckpointSettings };

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
  return [...rotations, ...models, ...checkpointChoices()];
}

/** GGUF is offered in each of its types: which of them has a place for a run depends on the run's weights. */
function checkpointChoices(): FormatChoice[] {
  return CHECKPOINT_FORMAT_NAMES.flatMap((format) => {
    const { title, summary } = CHECKPOINT_FORMATS[format];
    const settings = { ...CHECKPOINT_DEFAULTS, format };
    const choice = (label: string, own: CheckpointSettings): FormatChoice => ({
      label,
      description: summary,
      exported: { kind: 'checkpoint', settings: own },
    });
    if (format !== 'gguf') return [choice(title, settings)];
    return GGUF_WEIGHT_TYPES.map((type) => choice(`${title} ${type}`, { ...settings, type }));
  });
}

/** What becomes of each part of a run, a line each, and what that costs, for a dialog. */
export function planLines(plan: PlannedExport, isMeasured: boolean): string {
  const rows = plan.rows.map(({ part, run, verdict, there }) => `${part}: ${verdict}. ${run} → ${there}`);
  if (plan.rows.some(({ verdict }) => verdict === 'refused')) return rows.join('\n\n');
  const unmeasured = isMeasured
    ? 'not measured, the run has no text to measure on'
    : 'not measured yet (Measure does so on a few windows)';
  return [...rows, costInWords(plan, unmeasured)].join('\n\n');
}

/** The usual bits of the tables of tokens come first. */
export function tableBitsFirst(usual: TableBits): readonly TableBits[] {
  return [usual, ...TABLE_BITS.filter((bits) => bits !== usual)];
}
