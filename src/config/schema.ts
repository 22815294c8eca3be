/**
 * One schema of the experiment file (`*.spinquant.json`) gives the types, the defaults, the JSON schema and the faults.
 * Every description states what the key means in the method and what the reference implementation of SpinQuant uses.
 */
import { z } from 'zod';
import { EVALUATION_PRECISIONS } from '../protocol/precision.ts';
import { clusterSchema } from './schema-cluster.ts';
import { matrixSchema } from './schema-matrix.ts';
import { quantizationSchema } from './schema-quantization.ts';
import { rotationSchema } from './schema-rotation.ts';
import { scalingSchema } from './schema-scaling.ts';
import { tasksSchema } from './schema-tasks.ts';
import { calibrationText, evaluationText, filePath } from './schema-text.ts';
import { trainingSchema } from './schema-training.ts';

const MAX_SEED = 2 ** 32 - 1;
const MAX_SEQUENCE_LENGTH = 1_048_576;

/** At least two tokens are needed: one to read, one to predict. */
const sequenceLength = z.int().min(2).max(MAX_SEQUENCE_LENGTH);

const calibrationSchema = z
  .strictObject({
    text: z
      .union([...calibrationText.options, z.array(calibrationText).max(1000)])
      .default([])
      .transform((text) => (Array.isArray(text) ? text : [text]))
      .describe(
        'Text that rotations are learned on, activations are measured on and GPTQ rounds by: a UTF-8 file, rows of JSON lines or parquet, a data set on the Hub (hf://datasets/NAME/FOLDER/SPLIT), or a list of these, read in this order. Reference: the WikiText-2 train split.',
      ),
    samples: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(800)
      .describe(
        'At most this many sequences of the calibration text are used. Reference: 800 (100 steps of 8 sequences).',
      ),
    sequenceLength: sequenceLength
      .default(2048)
      .describe('Tokens in one calibration sequence. Reference: 2048.'),
    seed: z
      .int()
      .min(0)
      .max(MAX_SEED)
      .default(0)
      .describe('Seed of the choice of calibration sequences. Reference: 0.'),
    bos: z
      .boolean()
      .default(false)
      .describe(
        'true puts the beginning-of-sequence token before every calibration sequence. Reference: false when rotations are learned; for GPTQ once, before the whole text.',
      ),
  })
  .prefault({})
  .describe('Rotations are learned on this text, and GPTQ rounds weights by it.');

const perplexitySchema = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(100)
      .describe('Name of this text in tables and results, for example "wikitext2".'),
    text: evaluationText.describe(
      'The text to predict, tokenized once as a whole: a UTF-8 file, rows of JSON lines or parquet, or a data set on the Hub (hf://datasets/NAME/FOLDER/SPLIT). Reference: the WikiText-2 test split, all rows joined with two newlines.',
    ),
    sequenceLength: sequenceLength
      .default(2048)
      .describe(
        'Tokens in one window. Windows do not overlap and the last, partial one is dropped. Reference: 2048.',
      ),
    maxWindows: z
      .int()
      .min(1)
      .max(10_000_000)
      .nullable()
      .default(null)
      .describe('Number of windows to evaluate, from the first on; null for all. Reference: null (all).'),
    bos: z
      .boolean()
      .default(false)
      .describe('true puts the beginning-of-sequence token before every window. Reference: false.'),
  })
  .describe('A perplexity measurement: exp of the mean negative log-likelihood over windows of a text.');

const evaluationSchema = z
  .strictObject({
    perplexity: z
      .array(perplexitySchema)
      .max(100)
      .default([])
      .describe('The texts to measure perplexity on. Reference: WikiText-2 test.'),
    tasks: tasksSchema,
    precision: z
      .enum(EVALUATION_PRECISIONS)
      .default('float32')
      .describe(
        'The precision of what evaluation multiplies beside codes (attention, the output layer, weights of 16 bits) on processors that multiply bfloat16 (AMX, or AVX-512 BF16). float32 is exact to float32. bfloat16x2 takes each factor as the sum of two bfloat16 numbers, off by at most 2^-16 of it, and is faster with AMX alone. bfloat16 takes a single one, off by at most 2^-8, as models are run on GPUs. Products of codes are exact in any case, and sums float32. Other processors compute in float32. Reference: bfloat16.',
      ),
  })
  .prefault({})
  .describe('These are measured at full precision and quantized.');

export const experimentSchema = z
  .strictObject({
    $schema: z
      .string()
      .optional()
      .describe('Address of the JSON schema, for editors. The product ignores it.'),
    model: filePath.describe(
      'A Hugging Face model folder of the LLaMA family: config.json, *.safetensors, tokenizer.json. Relative to this file. Or the name of a model on the Hub, NAME or NAME@REVISION with NAME as in "org/name": it is downloaded when a job starts, unless there is a folder of that name.',
    ),
    calibration: calibrationSchema,
    quantization: quantizationSchema,
    rotation: rotationSchema,
    scaling: scalingSchema,
    training: trainingSchema,
    evaluation: evaluationSchema,
    matrix: matrixSchema.optional(),
    cluster: clusterSchema.optional(),
    device: z
      .enum(['auto', 'cpu', 'webgpu', 'cuda'])
      .default('auto')
      .describe(
        'The device that the network runs on: cpu; webgpu, a GPU through Vulkan, Metal or Direct3D 12; cuda, an NVIDIA GPU whose libraries were installed. auto takes the CPU and reports what else there is. Reference: CUDA only.',
      ),
    threads: z
      .int()
      .min(1)
      .max(1024)
      .nullable()
      .default(null)
      .describe('Number of CPU threads; null for all processors.'),
    memoryLimit: z
      .number()
      .gt(0)
      .max(100_000)
      .nullable()
      .default(null)
      .describe(
        'The memory limit, in GB beyond the mapped weights; null for the fastest way (about 1.5 GB for a model of 135 million parameters). A small limit is met by computing activations again, fewer sequences at once and smaller slices of the vocabulary.',
      ),
    runs: filePath
      .default('.spinquant/runs')
      .describe('Runs are written to this folder. It is relative to this file.'),
  })
  .describe('A SpinQuant Lab experiment: a model, how to quantize it, how to rotate it, what to measure.');

/** A validated experiment, in which every key has its value. Paths are as written unless noted otherwise. */
export type Experiment = z.output<typeof experimentSchema>;
/** An experiment file as a person may write it; only `model` is needed. */
export type ExperimentInput = z.input<typeof experimentSchema>;
export type PerplexityTask = Experiment['evaluation']['perplexity'][number];
export type Device = Experiment['device'];
