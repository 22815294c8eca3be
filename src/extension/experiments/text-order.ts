/** Which texts a new experiment offers first. Knows nothing of the editor. */
import { basename } from 'node:path';

/** What a text is asked for. */
export type TextUse = 'train' | 'test';

/** Words of names by how well they fit; what has none stands between the two. */
const WORDS: Readonly<Record<TextUse, { readonly fit: readonly RegExp[]; readonly unfit: RegExp }>> = {
  train: { fit: [/train/, /calib/, /valid|\bdev\b|[_-]dev/], unfit: /test|eval/ },
  test: { fit: [/test/, /eval/, /valid|\bdev\b|[_-]dev/], unfit: /train|calib/ },
};

/** A license or a read-me is no text to learn on. */
const ABOUT = /^(readme|license|licence|notice|changelog|contributing|third)/;

/**
 * Texts whose names fit come first, in the order of their paths; a text that is taken for the other use is not offered.
 * @param taken absolute path of the text that is learned on; null for none.
 */
export function orderedTexts(paths: readonly string[], use: TextUse, taken: string | null): string[] {
  const { fit, unfit } = WORDS[use];
  const rankOf = (path: string): number => {
    const name = basename(path).toLowerCase();
    if (ABOUT.test(name)) return fit.length + 2;
    if (unfit.test(name)) return fit.length + 1;
    const place = fit.findIndex((word) => word.test(name));
    return place < 0 ? fit.length : place;
  };
  return paths
    .filter((path) => path !== taken)
    .map((path) => ({ path, rank: rankOf(path) }))
    .sort((a, b) => a.rank - b.rank || (a.path < b.path ? -1 : 1))
    .map(({ path }) => path);
}
