/** Options of `spinquant export`, from the registries of formats. */
import { Option } from 'commander';
import {
  CHECKPOINT_FORMAT_NAMES,
  CHECKPOINT_FORMATS,
  EXPORT_FORMAT_NAMES,
  EXPORT_FORMATS,
  EXPORT_TARGET_NAMES,
  EXPORT_TARGETS,
  FLOAT_TYPES,
  GGUF_WEIGHT_TYPES,
  HADAMARD_CHOICE_NAMES,
  HADAMARD_CHOICES,
  MODEL_FORMAT_NAMES,
  MODEL_FORMATS,
  WEIGHT_CHOICE_NAMES,
  WEIGHT_CHOICES,
} from '../protocol/export-formats.ts';
import { CHECKPOINT_DEFAULTS } from '../protocol/export-plan.ts';

type Summaries = Readonly<Record<string, { readonly summary: string }>>;

/** Writes `safetensors: …; rbin: …`. */
const inWords = (all: Summaries): string =>
  Object.entries(all)
    .map(([name, { summary }]) => `${name}: ${summary}`)
    .join('; ');

export function format(): Option {
  const names = [...EXPORT_FORMAT_NAMES, ...MODEL_FORMAT_NAMES, ...CHECKPOINT_FORMAT_NAMES];
  const summaries = inWords({ ...EXPORT_FORMATS, ...MODEL_FORMATS, ...CHECKPOINT_FORMATS });
  return new Option('--format <format>', summaries).choices(names).default('safetensors');
}

export const target = (): Option =>
  new Option('--target <target>', `in onnx: ${inWords(EXPORT_TARGETS)}; stock by default`).choices(
    EXPORT_TARGET_NAMES,
  );

export const dtype = (): Option =>
  new Option(
    '--dtype <type>',
    `floating-point type in huggingface and compressed-tensors; ${CHECKPOINT_DEFAULTS.dtype} by default`,
  ).choices(FLOAT_TYPES);

export function weights(): Option {
  const choices = Object.entries(WEIGHT_CHOICES).map(([name, summary]) => `${name}: ${summary}`);
  const usual = `${CHECKPOINT_DEFAULTS.weights} by default`;
  return new Option('--weights <form>', `in huggingface and gguf: ${choices.join('; ')}; ${usual}`).choices(
    WEIGHT_CHOICE_NAMES,
  );
}

export const ggufType = (): Option =>
  new Option(
    '--type <type>',
    `in gguf: of the weights of linear layers; ${CHECKPOINT_DEFAULTS.type} by default`,
  ).choices(GGUF_WEIGHT_TYPES);

export function hadamard(): Option {
  const choices = Object.entries(HADAMARD_CHOICES).map(([name, summary]) => `${name}: ${summary}`);
  const usual = `${CHECKPOINT_DEFAULTS.hadamard} by default`;
  return new Option('--hadamard <place>', `in gguf: R4 is ${choices.join('; ')}; ${usual}`).choices(
    HADAMARD_CHOICE_NAMES,
  );
}

export const tableBits = (what: string): string =>
  `in onnx and gguf: ${what} at 32, 16, 8 or 4 bits; 16 by default`;
