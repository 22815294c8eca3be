/** `clip-ratios.json` has the clip ratios that a search found for the sites of each layer. */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { SITES, type Site } from '../protocol/block.ts';
import { UserError } from '../protocol/errors.ts';
import { readVersion1, writeJson } from './files.ts';

/** What a search found for a site. */
export interface FoundClip {
  readonly ratio: number;
  /** Squared error of the outputs that the site decides, as a share of that without clipping. */
  readonly share: number;
}

/** By site, where one was searched. */
export type LayerClips = Readonly<Partial<Record<Site, FoundClip>>>;

const layersSchema: z.ZodType<LayerClips[]> = z.array(
  z.partialRecord(z.enum(SITES), z.object({ ratio: z.number().gt(0).max(1), share: z.number().min(0) })),
);

const fileSchema = z.object({
  version: z.literal(1),
  /** Tells all that decides the ratios. */
  key: z.string(),
  /** The layers that are done, from the first. */
  layers: layersSchema,
});

export { layersSchema as clipRatiosSchema };

export function writeClipRatios(path: string, key: string, layers: readonly LayerClips[]): void {
  writeJson(path, { version: 1, key, layers });
}

/** The layers that are done under this key; none where there is no such file, or a damaged one. */
export async function readClipRatios(path: string, key: string): Promise<readonly LayerClips[]> {
  if (!existsSync(path)) return [];
  try {
    const file = await readVersion1(path, fileSchema, 'a file of clip ratios');
    return file.key === key ? file.layers : [];
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  }
}
