/**
 * `clip-ratios.json` has the clip ratios that a search found for the sites of each layer, `learned-clips.json` those that
 * were learned from these.
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { SITES, type Site } from '../protocol/block.ts';
import { UserError } from '../protocol/errors.ts';
import { readVersion1, writeJson } from './files.ts';

/** What a search found for a site. */
export interface FoundClip {
  /** Of both ends of the range, or of its upper one. */
  readonly ratio: number;
  /** Of its lower end, where that has its own. */
  readonly lower?: number | undefined;
  /** Squared error of the outputs that the site decides, as a share of that without clipping; of a search. */
  readonly share?: number | undefined;
}

/** By site, where one was searched. */
export type LayerClips = Readonly<Partial<Record<Site, FoundClip>>>;

const ratio = z.number().gt(0).max(1);
const clipSchema = z.object({ ratio, lower: ratio.optional(), share: z.number().min(0).optional() });

const layersSchema: z.ZodType<LayerClips[]> = z.array(z.partialRecord(z.enum(SITES), clipSchema));

/** What learning goes on from, by layer: factors of ends, and moving averages of their derivatives and of the squares. */
const stateSchema = z.object({
  /** Steps done. */
  step: z.int().min(0),
  layers: z.array(z.record(z.enum(['factors', 'mean', 'square']), z.array(z.number()))),
});

export type ClipState = z.output<typeof stateSchema>;

const fileSchema = z.object({
  version: z.literal(1),
  /** Tells all that decides the ratios. */
  key: z.string(),
  /** Digest of the text that they were searched on. */
  text: z.string(),
  /** The layers that are done, from the first. */
  layers: layersSchema,
  /** Where learning stands that has not ended. */
  state: stateSchema.optional(),
});

export { layersSchema as clipRatiosSchema };

type ClipRatiosFile = z.infer<typeof fileSchema>;

export function writeClipRatios(
  path: string,
  file: {
    readonly key: string;
    readonly text: string;
    readonly layers: readonly LayerClips[];
    readonly state?: ClipState;
  },
): void {
  writeJson(path, { version: 1, ...file });
}

/** The digest of the text that a file's ratios are of; null where there is no such file, or a damaged one. */
export async function textOfClipRatios(path: string): Promise<string | null> {
  return (await readSound(path))?.text ?? null;
}

/** The layers that are done under this key; none where there is no such file, or a damaged one. */
export async function readClipRatios(path: string, key: string): Promise<readonly LayerClips[]> {
  const file = await readSound(path);
  return file?.key === key ? file.layers : [];
}

/** Where learning stands under this key; null where none was stopped. */
export async function readClipState(path: string, key: string): Promise<ClipState | null> {
  const file = await readSound(path);
  return file?.key === key ? (file.state ?? null) : null;
}

async function readSound(path: string): Promise<ClipRatiosFile | null> {
  if (!existsSync(path)) return null;
  try {
    return await readVersion1(path, fileSchema, 'a file of clip ratios');
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
