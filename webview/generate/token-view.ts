import { fill } from '../../src/protocol/panels/fill.ts';
import type {
  GenerateColumn,
  GenerateState,
  JudgedToken,
  WrittenToken,
} from '../../src/protocol/panels/generate.ts';
import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import { h, setAttribute, setText } from '../shared/dom.ts';
import { formatNumber } from '../shared/format.ts';
import { formatDifference, formatLog, levelOf, quoted } from './difference.ts';

/** A token without a text of its own, such as one that ends a text. */
const NO_TEXT = '◦';

/** The text at full precision, each token coloured by what one run says to it. Tokens are added and coloured in place. */
export class TokenView {
  readonly element: HTMLElement;
  readonly #list: HTMLElement;
  readonly #readout = h('output', { class: 'token-readout' });
  readonly #tokens: HTMLElement[] = [];
  readonly #id: string;
  #count = 0;
  #at: number | null = null;

  /** @param point a token is looked at; null when none is any more. */
  constructor(id: string, strings: GenerateStrings, name: string, point: (token: number | null) => void) {
    this.#id = id;
    this.#list = h('div', {
      class: 'tokens',
      role: 'listbox',
      tabindex: 0,
      'aria-label': fill(strings.judgedTextOf, name),
    });
    this.element = h(
      'section',
      {},
      h('h3', {}, strings.judgedText),
      this.#list,
      h('p', { class: 'readout-line' }, this.#readout),
    );
    this.#list.addEventListener('pointerover', ({ target }) => {
      const place = target instanceof HTMLElement ? target.dataset.place : undefined;
      if (place !== undefined) point(Number(place));
    });
    this.#list.addEventListener('pointerleave', () => point(null));
    this.#list.addEventListener('blur', () => point(null));
    this.#list.addEventListener('keydown', (event) => this.#move(event, point));
  }

  show({ strings, tokens }: GenerateState, { judged, status }: GenerateColumn, at: number | null): void {
    this.#count = tokens.length;
    this.#at = at;
    while (this.#tokens.length > tokens.length) this.#tokens.pop()!.remove();
    for (const [place, token] of tokens.entries()) this.#show(place, token, judged[place], at, strings);
    const active = at === null ? undefined : this.#tokens[at];
    setAttribute(this.#list, 'aria-activedescendant', active?.id);
    setAttribute(this.#list, 'aria-busy', status === 'working' && 'true');
    const [token, judgement] = at === null ? [] : [tokens[at], judged[at]];
    setText(this.#readout, token ? readoutOf(at!, token, judgement, strings) : strings.readoutHint);
  }

  #show(
    place: number,
    token: WrittenToken,
    judged: JudgedToken | undefined,
    at: number | null,
    strings: GenerateStrings,
  ): void {
    const element = this.#tokens[place] ?? this.#add(place);
    // Where a line ends, its sign shows the colour.
    setText(element, token.text === '' ? NO_TEXT : token.text.replaceAll('\n', '↵\n'));
    const difference = judged && judged.logProbability - token.logProbability;
    const level = difference === undefined ? null : levelOf(difference);
    setAttribute(element, 'data-level', level);
    setAttribute(element, 'aria-selected', String(place === at));
    const name = quoted(token.text);
    const label =
      difference === undefined
        ? fill(strings.notJudged, name)
        : fill(strings.optionName, name, formatDifference(difference));
    setAttribute(element, 'aria-label', label);
  }

  #add(place: number): HTMLElement {
    const id = `${this.#id}-${place}`;
    const element = h('span', { class: 'token', role: 'option', id, 'data-place': place });
    this.#tokens.push(element);
    this.#list.append(element);
    return element;
  }

  #move(event: KeyboardEvent, point: (token: number | null) => void): void {
    if (event.ctrlKey || event.metaKey || event.altKey || this.#count === 0) return;
    const next = nextPlace(event.key, this.#at, this.#count);
    if (next === undefined) return;
    event.preventDefault();
    point(next);
    if (next !== null) this.#tokens[next]?.scrollIntoView({ block: 'nearest' });
  }
}

/** @returns undefined for keys that move nothing; null leaves the tokens. */
export function nextPlace(key: string, at: number | null, count: number): number | null | undefined {
  switch (key) {
    case 'ArrowRight':
    case 'ArrowDown':
      return at === null ? 0 : Math.min(at + 1, count - 1);
    case 'ArrowLeft':
    case 'ArrowUp':
      return at === null ? count - 1 : Math.max(at - 1, 0);
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    case 'Escape':
      return null;
    default:
      return undefined;
  }
}

export function readoutOf(
  place: number,
  { text, logProbability }: WrittenToken,
  judged: JudgedToken | undefined,
  strings: GenerateStrings,
): string {
  const name = fill(strings.token, place + 1);
  if (!judged) return `${name} ${fill(strings.notJudged, quoted(text))}`;
  return fill(
    strings.readout,
    name,
    quoted(text),
    formatDifference(judged.logProbability - logProbability),
    formatLog(logProbability),
    formatLog(judged.logProbability),
    formatNumber(judged.divergence, 2),
  );
}
