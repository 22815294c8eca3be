import type { CommonIntent, Notice, Problem } from '../../src/protocol/panels/common.ts';
import { type EmptyStrings, emptyState, noticeBox, ProblemBox } from './controls.ts';
import { h } from './dom.ts';
import { onThemeChange, readTheme, type Theme } from './theme.ts';

interface PageState {
  readonly strings: { readonly panel: string; readonly empty: EmptyStrings };
  readonly problem?: Problem | null;
  readonly notice?: Notice | null;
}

interface Line<State> {
  send(intent: CommonIntent): void;
  listen(show: (state: State) => void): void;
}

/** One panel's page: its parts are made with the first state that has content, since their texts come with it. */
interface PageModel<State, Parts> {
  hasContent(state: State): boolean;
  build(state: State): Parts & { readonly elements: readonly Node[] };
  show(parts: Parts, state: State, theme: Theme): void;
}

export interface Page<State> {
  /** The newest state; null before the first. */
  readonly state: State | null;
  /** Draws the newest state again. */
  redraw(): void;
}

/** Shows each state that comes, and the newest one again under a new theme. Without content it offers ways to begin. */
export function startPage<State extends PageState, Parts>(
  line: Line<State>,
  { hasContent, build, show }: PageModel<State, Parts>,
): Page<State> {
  const root = document.getElementById('root')!;
  let theme = readTheme();
  let parts: Parts | null = null;
  let state: State | null = null;

  function draw(next: State): void {
    state = next;
    root.removeAttribute('aria-busy');
    if (!hasContent(next)) {
      parts = null;
      root.replaceChildren(withoutContent(next, line));
      return;
    }
    parts ??= made(next);
    show(parts, next, theme);
  }

  function made(first: State): Parts {
    const built = build(first);
    root.replaceChildren(...built.elements);
    return built;
  }

  function redraw(): void {
    if (state) draw(state);
  }

  onThemeChange((next) => {
    theme = next;
    redraw();
  });
  line.listen(draw);
  return {
    get state() {
      return state;
    },
    redraw,
  };
}

/** The fault, which has a hint of its own; else the buttons that bring content. */
function withoutContent<State extends PageState>(
  { strings, problem, notice }: State,
  line: Line<State>,
): HTMLElement {
  if (notice) return noticeBox(notice, strings.empty, () => line.send({ type: 'begin', what: 'newest' }));
  if (!problem) return emptyState(strings.empty, (what) => line.send({ type: 'begin', what }));
  const box = new ProblemBox();
  box.show(problem);
  return h('div', {}, h('h1', { class: 'visually-hidden' }, strings.panel), box.element);
}
