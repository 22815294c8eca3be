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
    summary: 'operators of unmodified ONNX Runtime: 8-bit activations, keys and values in float32',
  },
  native: {
    title: 'with our operators',
    summary: 'our INT4 operators with their library: activations, keys and values in the bits of the run',
  },
} as const satisfies Record<string, Pick<ExportFormatDescription, 'title' | 'summary'>>;

export type ExportTarget = keyof typeof EXPORT_TARGETS;

export const EXPORT_TARGET_NAMES = Object.keys(EXPORT_TARGETS) as ExportTarget[];

/** Checkpoints that other programs load, each a folder, with the options that they take. */
export const CHECKPOINT_FORMATS = {
  huggingface: {
    title: 'Hugging Face folder',
    summary: 'rotations merged into dequantized weights, for transformers',
    options: ['dtype', 'weights'],
  },
  'compressed-tensors': {
    title: 'compressed-tensors',
    summary: "the run's own codes, packed, for vLLM and transformers",
    options: ['dtype'],
  },
  gguf: {
    title: 'GGUF',
    summary: 'rotations merged, in the types of llama.cpp',
    options: ['type', 'weights', 'hadamard', 'embeddings', 'head'],
  },
  executorch: {
    title: 'ExecuTorch',
    summary:
      "the reference's consolidated checkpoint: the run's codes as bytes, embeddings and output layer at 8 bits",
    options: [],
  },
} as const satisfies Record<
  string,
  Pick<ExportFormatDescription, 'title' | 'summary'> & { readonly options: readonly string[] }
>;

export type CheckpointFormatName = keyof typeof CHECKPOINT_FORMATS;

export const CHECKPOINT_FORMAT_NAMES = Object.keys(CHECKPOINT_FORMATS) as CheckpointFormatName[];

export function isCheckpointFormat(name: string): name is CheckpointFormatName {
  return Object.hasOwn(CHECKPOINT_FORMATS, name);
}

/** Numbers that weights, scales and tables are written in. */
export const FLOAT_TYPES = ['bfloat16', 'float16', 'float32'] as const;
export type FloatType = (typeof FLOAT_TYPES)[number];

/** The weights of a checkpoint whose format holds numbers or rounds by itself. */
export const WEIGHT_CHOICES = {
  rounded: 'as the run rounded them',
  rotated: 'with the maps alone, for a program that rounds them itself',
} as const;
export type WeightChoice = keyof typeof WEIGHT_CHOICES;
export const WEIGHT_CHOICE_NAMES = Object.keys(WEIGHT_CHOICES) as WeightChoice[];

/** What becomes of R4 in a GGUF file. */
export const HADAMARD_CHOICES = {
  folded: 'back into the weights, for llama.cpp',
  prism: 'computed at run time, for forks of llama.cpp that read the keys prism.hadamard.*',
} as const;
export type HadamardChoice = keyof typeof HADAMARD_CHOICES;
export const HADAMARD_CHOICE_NAMES = Object.keys(HADAMARD_CHOICES) as HadamardChoice[];

/** Types of GGUF that the weights of linear layers are written in. */
export const GGUF_WEIGHT_TYPES = ['F16', 'Q8_0', 'Q4_0', 'Q4_1'] as const;
export type GgufWeightType = (typeof GGUF_WEIGHT_TYPES)[number];

/** Bits of embeddings and head in a model: float32 as the network has them, float16, or rounded to nearest. */
export const TABLE_BITS = [32, 16, 8, 4] as const;
export type TableBits = (typeof TABLE_BITS)[number];
