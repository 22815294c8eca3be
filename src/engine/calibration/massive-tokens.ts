/** A residual so many times as long as the median token's is massive: such tokens, often the first, are what attention rests on. */
const MASSIVE = 10;

/**
 * Tokens whose residual is massive. After the norm they look alike in all layers, and few others look like them, so that
 * a sample of rows hardly knows them.
 * @param residual [tokens, width]. @returns for each token, whether it is massive.
 */
export function massiveTokens(residual: ArrayLike<number>, width: number): boolean[] {
  const lengths = Array.from({ length: residual.length / width }, (_, token) => {
    let square = 0;
    for (let i = token * width; i < (token + 1) * width; i++) square += residual[i]! * residual[i]!;
    return Math.sqrt(square);
  });
  const median = lengths.toSorted((a, b) => a - b)[Math.floor(lengths.length / 2)] ?? 0;
  return lengths.map((length) => length > MASSIVE * median);
}
