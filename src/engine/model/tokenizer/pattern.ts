import { SplitPreTokenizer } from '@huggingface/tokenizers';
import type { Behavior, Pattern } from './components.ts';

/**
 * Translates a pattern of `tokenizer.json` (Oniguruma's syntax) to a global expression of JavaScript.
 * @throws SyntaxError, Error when it has no counterpart.
 */
export function compilePattern(pattern: Pattern): RegExp | null {
  if ('String' in pattern) {
    if (pattern.String === '') return null;
    return new RegExp(pattern.String.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'), 'gu');
  }
  const { pattern: compiled } = new SplitPreTokenizer({
    type: 'Split',
    pattern: { Regex: foldLongS(pattern.Regex) },
    behavior: 'Isolated',
    invert: false,
  });
  return compiled;
}

/**
 * Oniguruma folds ſ to s and the Kelvin sign to k, also for `(?i:'s)`, which matches `'ſ`. The library's translation
 * folds ASCII alone. Groups with groups inside are left as they are: no tokenizer that is known has one.
 */
function foldLongS(regex: string): string {
  return regex.replace(/\(\?i:((?:\\.|[^()\\])*)\)/gs, (_, body: string) => {
    let inClass = false;
    const folded = body.replace(/\\.|./gsu, (part) => {
      if (part === '[') inClass = true;
      if (part === ']') inClass = false;
      const other = { s: 'ſ', S: 'ſ', k: '\u212a', K: '\u212a' }[part];
      if (other === undefined) return part;
      return inClass ? `${part}${other}` : `[${part}${other}]`;
    });
    return `(?i:${folded})`;
  });
}

/** Start, end and whether the pattern matched; together they cover the text. Offsets are in UTF-16 units. */
type Stretch = [start: number, end: number, matched: boolean];

/** A piece of a text, where the cut leaves it out unless `kept`. */
export interface Cut {
  readonly start: number;
  readonly text: string;
}

/** Cuts a text at the matches of a pattern; no piece is empty. A null pattern matches nowhere. */
export function cutText(text: string, pattern: RegExp | null, behavior: Behavior, invert: boolean): Cut[] {
  const stretches = findStretches(text, pattern);
  if (invert) for (const stretch of stretches) stretch[2] = !stretch[2];
  return join(stretches, behavior)
    .filter(([start, end]) => end > start)
    .map(([start, end]) => ({ start, text: text.slice(start, end) }));
}

function findStretches(text: string, pattern: RegExp | null): Stretch[] {
  if (pattern === null) return [[0, text.length, false]];
  const found: Stretch[] = [];
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    const end = match.index + match[0].length;
    // V8 finds empty matches between the halves of a surrogate pair.
    if (end === match.index && isInsidePair(text, end)) continue;
    if (match.index > last) found.push([last, match.index, false]);
    found.push([match.index, end, true]);
    last = end;
  }
  if (last < text.length) found.push([last, text.length, false]);
  return found;
}

function isInsidePair(text: string, at: number): boolean {
  return at > 0 && text.codePointAt(at - 1)! > 0xffff;
}

function join(stretches: Stretch[], behavior: Behavior): Stretch[] {
  switch (behavior) {
    case 'Isolated':
      return stretches;
    case 'Removed':
      return stretches.filter(([, , matched]) => !matched);
    case 'Contiguous':
      return merge(stretches, (matched, before) => matched === before);
    case 'MergedWithPrevious':
      return merge(stretches, (matched, before) => matched && !before);
    case 'MergedWithNext': {
      // The same, seen from the end.
      const mirrored = stretches.map(([start, end, matched]): Stretch => [-end, -start, matched]).reverse();
      return merge(mirrored, (matched, before) => matched && !before)
        .map(([start, end, matched]): Stretch => [-end, -start, matched])
        .reverse();
    }
  }
}

/** Joins a stretch to the one before it where the rule says so. */
function merge(stretches: Stretch[], joins: (matched: boolean, before: boolean) => boolean): Stretch[] {
  const merged: Stretch[] = [];
  let before = false;
  for (const [start, end, matched] of stretches) {
    const last = merged.at(-1);
    if (last && joins(matched, before)) last[1] = end;
    else merged.push([start, end, matched]);
    before = matched;
  }
  return merged;
}
