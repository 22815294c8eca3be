/** Levenshtein distance is the fewest insertions, deletions and substitutions that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, previous[j]! + 1, row[j - 1]! + 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** Returns the name nearest to the written one, ignoring case; null when none is near enough for a slip. */
export function nearestName(written: string, names: readonly string[]): string | null {
  const distances = names.map((name) => slip(written, name));
  const least = Math.min(...distances);
  return Number.isFinite(least) ? (names[distances.indexOf(least)] ?? null) : null;
}

/**
 * The names nearest to the written one, where a name's first parts may stand for it: `quarot` is near `quarot-rtn`.
 * Of names equally near, shorter ones come first.
 * @returns none when none is near enough for a slip.
 */
export function nearestNames(written: string, names: readonly string[], most = 4): string[] {
  const distances = new Map(
    names.map((name) => [name, Math.min(...beginnings(name).map((part) => slip(written, part)))]),
  );
  const least = Math.min(...distances.values());
  const near = names.filter((name) => Number.isFinite(least) && distances.get(name) === least);
  return near.sort((a, b) => a.length - b.length).slice(0, most);
}

/** `quarot-rtn` begins with `quarot`, and with itself. */
function beginnings(name: string): string[] {
  const parts = name.split('-');
  return parts.map((_, index) => parts.slice(0, index + 1).join('-'));
}

/** The distance of two names, ignoring case; infinite when it is too large for a slip. */
function slip(written: string, name: string): number {
  const distance = editDistance(written.toLowerCase(), name.toLowerCase());
  const allowed = Math.max(1, Math.floor(Math.max(written.length, name.length) * 0.4));
  return distance <= allowed ? distance : Number.POSITIVE_INFINITY;
}
