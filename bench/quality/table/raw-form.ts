/** WikiText-2's tokenised form, which hides rare words behind `<unk>`, written as the raw test text is. */
const UNKNOWN = /<unk>/g;
const MOST_UNKNOWN = 2;

/**
 * Sentences with at most two `<unk>`, whose place capitalised words of the same text take; other sentences are left out.
 * Lines are apart as in the raw text, whose rows other programs join by two line ends.
 */
export function rawForm(text: string): string {
  const names = [...text.matchAll(/(?<=[a-z,] )[A-Z][a-z]{2,}(?= )/g)].map(([name]) => name);
  const draw = drawer(names.length);
  const named = (part: string): string => part.replace(UNKNOWN, () => names[draw()] ?? '');
  const rows = text.split('\n').map((line) => {
    const words = line.trim();
    if (words === '') return '';
    if (words.startsWith('=')) return ` ${named(words)} \n`;
    const kept = words
      .split(/(?<= [.!?]) /)
      .filter((part) => (part.match(UNKNOWN) ?? []).length <= MOST_UNKNOWN);
    return kept.length === 0 ? '' : ` ${kept.map(named).join(' ')} \n`;
  });
  return rows.join('\n\n');
}

/** Numbers below `count`, the same in every run (a multiplicative congruential generator, Park and Miller 1988). */
function drawer(count: number): () => number {
  let state = 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state % count;
  };
}
