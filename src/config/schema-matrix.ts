import { z } from 'zod';
import { PRESET_NAMES } from './matrix/presets.ts';
import { ROWS } from './matrix/rows.ts';
import { quantizationSchema } from './schema-quantization.ts';
import { rotationSchema } from './schema-rotation.ts';
import { scalingSchema } from './schema-scaling.ts';
import { trainingSchema } from './schema-training.ts';

const MAX_SEED = 2 ** 32 - 1;
const rowName = z.string().min(1).max(60);

const settingsSchema = z
  .strictObject({
    quantization: quantizationSchema,
    rotation: rotationSchema,
    scaling: scalingSchema,
    training: trainingSchema,
  })
  .partial()
  .prefault({})
  .describe('Settings in the place of those of the experiment and of the row that it is like.');

const rowSchema = z
  .strictObject({
    name: rowName.describe('Name of the row in matrix.methods.'),
    title: z.string().min(1).max(100).optional().describe('Name in tables; without one, the name.'),
    like: rowName.default('rtn').describe('The row whose settings it begins with.'),
    settings: settingsSchema,
  })
  .describe('A row of your own.');

export const matrixSchema = z
  .strictObject({
    preset: z
      .enum(PRESET_NAMES)
      .nullable()
      .default(null)
      .describe(
        'A table or figure of the SpinQuant paper, which fills in what the other keys leave out: table1 compares methods, table2 learned with random rotations, table4 starts of learning, table5 QuaRot, ablation R1 to R4, figure3 shows kurtosis and error over depth, figure4 the spread over random rotations. null for none.',
      ),
    bits: z
      .array(
        z
          .string()
          .min(1)
          .max(20)
          .meta({ examples: ['4-8-16', '4-8-8', '4-4-16', '4-4-4', '4-16-16', '3-16-16', '2-16-16'] }),
      )
      .max(20)
      .default([])
      .describe(
        'Settings of bits, as the paper writes them: weights, activations, keys and values. ["4-8-16", "4-4-4"] is 4-bit weights with 8-bit activations and a 16-bit cache, then 4 bits for all.',
      ),
    methods: z
      .array(rowName.meta({ examples: ROWS.map(({ name }) => name) }))
      .max(100)
      .default([])
      .describe(
        `The rows, by their names: ${ROWS.map(({ name }) => name).join(', ')}, and those of matrix.rows.`,
      ),
    seeds: z
      .array(z.int().min(0).max(MAX_SEED))
      .max(1000)
      .default([])
      .describe(
        'Each cell is measured with every seed, unless nothing in it is drawn. A seed takes the place of rotation.seed and calibration.seed. Without any, those of the preset, or 0. The paper: up to 100 random rotations (figure 4).',
      ),
    rows: z.array(rowSchema).max(100).prefault([]).describe('Rows of your own, for matrix.methods.'),
    statistics: z
      .boolean()
      .nullable()
      .default(null)
      .describe(
        'true looks at the activations and weights of every cell, too: kurtosis and error by layer. null follows the preset.',
      ),
  })
  .describe(
    'A table over methods, bits and seeds, which optimize fills cell by cell. What cells have in common is computed once. Started again, it goes on where it stopped.',
  );

export type Matrix = z.output<typeof matrixSchema>;
