import { fill } from '../../src/protocol/panels/fill.ts';
import type { GenerateColumn, GenerateState } from '../../src/protocol/panels/generate.ts';
import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import { ProblemBox } from '../shared/controls.ts';
import { h, setAttribute, setHidden, setText } from '../shared/dom.ts';
import { formatBytes, formatNumber, formatPerplexity } from '../shared/format.ts';
import type { Theme } from '../shared/theme.ts';
import { formatDifference } from './difference.ts';
import { lineSign } from './marks.ts';
import { TokenView } from './token-view.ts';

/** The end of a long prompt is enough to see what a text goes on from. */
const PROMPT_SHOWN = 160;

/** One network: its numbers, its own text, and what it says to that at full precision. */
export class ColumnView {
  readonly element: HTMLElement;
  readonly #facts = h('span', { class: 'quiet' });
  readonly #stats: Stats;
  readonly #text: OwnText;
  readonly #tokens: TokenView | null;
  readonly #problem = new ProblemBox();

  constructor(
    strings: GenerateStrings,
    { run, name }: GenerateColumn,
    place: number,
    theme: Theme,
    point: (token: number | null) => void,
  ) {
    const id = `network-${place}`;
    this.#stats = new Stats(strings);
    this.#text = new OwnText(strings, name);
    this.#tokens = run === null ? null : new TokenView(id, strings, name, point);
    this.element = h(
      'section',
      { class: 'network', id, 'aria-labelledby': `${id}-title` },
      h(
        'header',
        {},
        h('h2', { id: `${id}-title` }, run === null ? null : lineSign(place - 1, theme), name),
        this.#facts,
      ),
      this.#problem.element,
      this.#stats.element,
      this.#text.element,
      this.#tokens?.element ?? null,
    );
  }

  show(state: GenerateState, column: GenerateColumn, at: number | null): void {
    const { strings } = state;
    const status = strings.status[column.status];
    setText(this.#facts, [column.bits, status].filter((part) => part !== '').join(' · '));
    setAttribute(this.element, 'data-status', column.status);
    this.#problem.show(column.problem);
    this.#stats.show(column, strings);
    this.#text.show(state, column);
    this.#tokens?.show(state, column, at);
  }
}

const STATS = [
  'decode',
  'prefill',
  'weights',
  'cache',
  'perplexity',
  'meanDifference',
  'meanDivergence',
] as const;
type Stat = (typeof STATS)[number];
/** Differences from full precision. */
const OF_RUNS: readonly Stat[] = ['meanDifference', 'meanDivergence'];

/** The numbers of a network. All lines are there from the beginning, so that texts do not move. */
class Stats {
  readonly element: HTMLElement;
  readonly #values = new Map<Stat, HTMLElement>();

  constructor(strings: GenerateStrings) {
    this.element = h(
      'dl',
      { class: 'numbers-of' },
      ...STATS.flatMap((stat) => {
        const value = h('dd');
        this.#values.set(stat, value);
        return [h('dt', {}, strings[stat]), value];
      }),
    );
  }

  show(column: GenerateColumn, strings: GenerateStrings): void {
    for (const [stat, element] of this.#values) setText(element, statOf(stat, column, strings));
  }
}

export function statOf(stat: Stat, column: GenerateColumn, strings: GenerateStrings): string {
  const { tokensPerSecond, bytes, summary } = column;
  if (column.run === null && OF_RUNS.includes(stat)) return strings.reference;
  const speed = (value: number | null | undefined) =>
    value == null ? '–' : fill(strings.perSecond, formatNumber(value, 3));
  const size = (value: number | undefined) => (value === undefined ? '–' : formatBytes(value));
  const nats = (value: number | null | undefined, format: (value: number) => string) =>
    value == null ? '–' : fill(strings.nats, format(value));
  switch (stat) {
    case 'decode':
    case 'prefill':
      return speed(tokensPerSecond?.[stat]);
    case 'weights':
      return size(bytes?.weights);
    case 'cache':
      return size(bytes?.cachePerToken);
    case 'perplexity':
      return formatPerplexity(summary ? (summary.perplexity ?? Number.POSITIVE_INFINITY) : null);
    case 'meanDifference':
      return nats(summary?.meanDifference, formatDifference);
    case 'meanDivergence':
      return nats(summary?.meanDivergence, (value) => formatNumber(value, 3));
  }
}

/** What a network writes behind the prompt, underlined from where it is not the text at full precision. */
class OwnText {
  readonly element: HTMLElement;
  readonly #prompt = h('span', { class: 'quiet' });
  readonly #same = h('span');
  readonly #other = h('span', { class: 'other' });
  readonly #note = h('p', { class: 'quiet note-line' });

  constructor(strings: GenerateStrings, name: string) {
    const text = h(
      'p',
      { class: 'text', tabindex: 0, role: 'region', 'aria-label': fill(strings.ownTextOf, name) },
      this.#prompt,
      this.#same,
      this.#other,
    );
    this.element = h('section', {}, h('h3', {}, strings.ownText), text, this.#note);
  }

  show({ prompt, strings }: GenerateState, { run, text, same, status, tokens }: GenerateColumn): void {
    setText(this.#prompt, tokens === 0 ? '' : promptEnd(prompt));
    setText(this.#same, text.slice(0, same));
    setText(this.#other, text.slice(same));
    const isOther = same < text.length;
    const note = isOther ? strings.differs : status === 'done' ? strings.sameText : '';
    setText(this.#note, run === null ? '' : note);
    setHidden(this.#note, run === null);
  }
}

function promptEnd(prompt: string): string {
  return prompt.length <= PROMPT_SHOWN ? prompt : `…${prompt.slice(-PROMPT_SHOWN)}`;
}
