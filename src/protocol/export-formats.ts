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
    title: 'ONNX model',
    summary: 'the quantized model as a folder for ONNX Runtime and onnxruntime-genai',
  },
} as const satisfies Record<string, Pick<ExportFormatDescription, 'title' | 'summary'>>;

export type ModelFormatName = keyof typeof MODEL_FORMATS;

export const MODEL_FORMAT_NAMES = Object.keys(MODEL_FORMATS) as ModelFormatName[];

export function isModelFormat(name: string): name is ModelFormatName {
  return Object.hasOwn(MODEL_FORMATS, name);
}

/** Operators that an ONNX folder is written in. */
export const EXPORT_TARGETS = {
  stock: {
    title: 'for stock ONNX Runtime',
    summary: 'operators of unmodified ONNX Runtime: 8-bit activations, keys and values as numbers',
  },
  native: {
    title: 'with our operators',
    summary: 'our INT4 operators with their library: activations, keys and values in the bits of the run',
  },
} as const satisfies Record<string, Pick<ExportFormatDescription, 'title' | 'summary'>>;

export type ExportTarget = keyof typeof EXPORT_TARGETS;

export const EXPORT_TARGET_NAMES = Object.keys(EXPORT_TARGETS) as ExportTarget[];

/** Bits of embeddings and head in a model: float32 as the network has them, float16, or rounded to nearest. */
export const TABLE_BITS = [32, 16, 8, 4] as const;
export type TableBits = (typeof TABLE_BITS)[number];
