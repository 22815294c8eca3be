/**
 * Formats that the rotations of a run can be exported to: an entry each. The work lies in `engine/export/<name>.ts`.
 */

export interface ExportFormatDescription {
  /** As menus name it. */
  readonly title: string;
  /** For the help of the command line, after the name. */
  readonly summary: string;
  /** Others expect the file under this name. */
  readonly fileName: string;
  readonly extension: string;
}

export const EXPORT_FORMATS = {
  safetensors: {
    title: 'safetensors',
    summary: 'R1 and R2.{layer} with where they come from',
    fileName: 'rotations',
    extension: 'safetensors',
  },
  rbin: {
    title: 'R.bin',
    summary: 'the R.bin of the SpinQuant reference, a PyTorch dict',
    fileName: 'R',
    extension: 'bin',
  },
} as const satisfies Record<string, ExportFormatDescription>;

export type ExportFormatName = keyof typeof EXPORT_FORMATS;

export const EXPORT_FORMAT_NAMES = Object.keys(EXPORT_FORMATS) as ExportFormatName[];

export function isExportFormat(name: string): name is ExportFormatName {
  return Object.hasOwn(EXPORT_FORMATS, name);
}

/** Formats of whole quantized models, each a folder. */
export const MODEL_FORMATS = {
  onnx: {
    summary: 'the quantized model as a folder for ONNX Runtime and onnxruntime-genai',
  },
} as const satisfies Record<string, Pick<ExportFormatDescription, 'summary'>>;

export type ModelFormatName = keyof typeof MODEL_FORMATS;

export const MODEL_FORMAT_NAMES = Object.keys(MODEL_FORMATS) as ModelFormatName[];

export function isModelFormat(name: string): name is ModelFormatName {
  return Object.hasOwn(MODEL_FORMATS, name);
}

/** Bits of embeddings and head in a model; 16 stores them as float16. */
export const TABLE_BITS = [16, 8, 4] as const;
export type TableBits = (typeof TABLE_BITS)[number];
