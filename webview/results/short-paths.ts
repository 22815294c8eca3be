/** Short names for dotted paths: the last parts, as many as tell them apart. */
export function shortPaths(paths: readonly string[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const tail = (path: string, parts: number) => path.split('.').slice(-parts).join('.');
  for (const path of paths) {
    const length = path.split('.').length;
    // A number alone is a place in a list, and no name.
    let parts = /^\d+$/.test(tail(path, 1)) ? 2 : 1;
    while (
      parts < length &&
      paths.some((other) => other !== path && tail(other, parts) === tail(path, parts))
    )
      parts++;
    names.set(path, tail(path, parts));
  }
  return names;
}
