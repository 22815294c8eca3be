import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import { h } from '../shared/dom.ts';
import { LEVELS, type Level, STEPS } from './difference.ts';

/** The steps of colour, each with its range. */
export function legendElement(strings: GenerateStrings): HTMLElement {
  return h(
    'p',
    { class: 'scale', role: 'note' },
    h('span', { class: 'quiet' }, strings.legend),
    h(
      'span',
      { class: 'steps' },
      strings.lessLikely,
      ...LEVELS.map((level) => step(level)),
      strings.moreLikely,
    ),
  );
}

function step(level: Level): HTMLElement {
  return h('span', { class: 'token', 'data-level': level }, rangeOf(level));
}

/** The end that is nearer to 0; both for the middle. */
function rangeOf(level: Level): string {
  if (level === 0) return `±${STEPS[0]}`;
  return `${level < 0 ? '−' : '+'}${STEPS[Math.abs(level) - 1]}`;
}
