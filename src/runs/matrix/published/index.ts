/** Published values for the family of a model, to be shown beside measured ones. They are data with their source. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { modelPlace } from '../../../config/index.ts';

const documentSchema = z.object({
  source: z.string(),
  metrics: z.object({ accuracy: z.string(), perplexity: z.string() }),
  models: z.array(
    z.object({
      name: z.string(),
      /** Its name on the Hub, of any organization, as {@link plainName} writes it. */
      hub: z.string(),
      /** `model_type` in config.json. */
      family: z.string(),
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
  model_type: z.string().optional(),
  hidden_size: z.int(),
  num_hidden_layers: z.int(),
  intermediate_size: z.int(),
  vocab_size: z.int(),
});

/**
 * @param model an experiment's, resolved: by its sizes where its config.json is on the disk, else by its name on the Hub.
 * @returns null where the model is not known, or nothing is published for it.
 */
export async function publishedFor(model: string): Promise<Published | null> {
  const { folder, hubName } = modelPlace(model);
  const config = configSchema.safeParse(folder === null ? null : await jsonAt(join(folder, 'config.json')));
  if (!config.success && hubName === null) return null;
  const { default: data } = await import('./values.json', { with: { type: 'json' } });
  const { source, metrics, models, values } = documentSchema.parse(data);
  const found = config.success
    ? ofSizes(models, config.data)
    : models.find(({ hub }) => hub === plainName(hubName ?? ''));
  if (!found) return null;
  return { source, metrics, model: found.name, values: values.filter((value) => value.model === found.name) };
}

type KnownModel = z.output<typeof documentSchema>['models'][number];

/**
 * The model of the same family and sizes. Vocabularies may differ by added or padded tokens: of two, the nearer one
 * counts.
 */
function ofSizes(
  models: readonly KnownModel[],
  {
    model_type,
    hidden_size,
    num_hidden_layers,
    intermediate_size,
    vocab_size,
  }: z.output<typeof configSchema>,
): KnownModel | undefined {
  const distance = ({ vocabSize }: KnownModel) => Math.abs(vocabSize - vocab_size);
  return models
    .filter(
      ({ family, hiddenSize, layers, intermediateSize }) =>
        (model_type === undefined || family === model_type) &&
        hiddenSize === hidden_size &&
        layers === num_hidden_layers &&
        intermediateSize === intermediate_size,
    )
    .sort((a, b) => distance(a) - distance(b))[0];
}

/** `meta-llama/Meta-Llama-3-8B` and `NousResearch/Meta-Llama-3-8B-hf` are `llama-3-8b`. */
function plainName(hubName: string): string {
  const name = hubName.split('/').at(-1) ?? '';
  return name
    .toLowerCase()
    .replace(/^meta-/, '')
    .replace(/-hf$/, '');
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
