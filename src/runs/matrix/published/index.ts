/** Published values for the family of a model, to be shown beside measured ones. They are data with their source. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

const documentSchema = z.object({
  source: z.string(),
  metrics: z.object({ accuracy: z.string(), perplexity: z.string() }),
  models: z.array(
    z.object({
      name: z.string(),
      hiddenSize: z.int(),
      layers: z.int(),
      intermediateSize: z.int(),
      vocabSize: z.int(),
    }),
  ),
  values: z.array(
    z.object({
      table: z.string(),
      bits: z.string(),
      row: z.string(),
      model: z.string(),
      metric: z.enum(['accuracy', 'perplexity']),
      value: z.number(),
      deviation: z.number().optional(),
      /** Why the number is not to be relied on. */
      doubt: z.string().optional(),
    }),
  ),
});

export type PublishedValue = z.output<typeof documentSchema>['values'][number];

export interface Published {
  readonly source: string;
  /** The model that the values are of. */
  readonly model: string;
  /** What each metric is in the source. */
  readonly metrics: Readonly<Record<PublishedValue['metric'], string>>;
  readonly values: readonly PublishedValue[];
}

/** Sizes of a model; a checkpoint of the same family has the same. */
const configSchema = z.object({
  hidden_size: z.int(),
  num_hidden_layers: z.int(),
  intermediate_size: z.int(),
  vocab_size: z.int(),
});

/** @returns null where the model cannot be read, or nothing is published for its sizes. */
export async function publishedFor(modelFolder: string): Promise<Published | null> {
  const config = configSchema.safeParse(await jsonAt(join(modelFolder, 'config.json')));
  if (!config.success) return null;
  const { default: data } = await import('./values.json', { with: { type: 'json' } });
  const { source, metrics, models, values } = documentSchema.parse(data);
  const { hidden_size, num_hidden_layers, intermediate_size, vocab_size } = config.data;
  const model = models.find(
    ({ hiddenSize, layers, intermediateSize, vocabSize }) =>
      hiddenSize === hidden_size &&
      layers === num_hidden_layers &&
      intermediateSize === intermediate_size &&
      vocabSize === vocab_size,
  );
  if (!model) return null;
  return { source, metrics, model: model.name, values: values.filter((value) => value.model === model.name) };
}

async function jsonAt(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch {
    return null; // Whoever runs the experiment is told; the table only has less to show.
  }
}

/** The values for a row, those of the newest table first. */
export function publishedOf(published: Published, bits: string, row: string): PublishedValue[] {
  return published.values.filter((value) => value.bits === bits && value.row === row);
}
