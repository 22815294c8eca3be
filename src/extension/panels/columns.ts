/** Chooses the columns of panels and files. Knows nothing of VS Code, whose columns count from 1. */

export interface Group {
  readonly column: number;
  /** The one that has the focus, or had it last. */
  readonly active: boolean;
  readonly tabs: readonly Tab[];
}

export interface Tab {
  readonly kind: 'panel' | 'text' | 'other';
  /** The file of a text. */
  readonly path: string | null;
}

/** `here` is the one group there is, as long as it is empty; `split` is a new group beside it. */
export type PanelColumn = number | 'here' | 'split';

/** A panel opens where another of ours is, else beside the text: in the group next to it, if there is one. */
export function panelColumn(groups: readonly Group[]): PanelColumn {
  const own = choose(groups, ({ tabs }) => tabs.some(({ kind }) => kind === 'panel'));
  if (own) return own.column;
  if (groups.every(({ tabs }) => tabs.length === 0)) return 'here';
  if (groups.length === 1) return 'split';
  const text = choose(groups, ({ tabs }) => tabs.some(({ kind }) => kind === 'text'));
  const from = (text ?? choose(groups, () => true)!).column;
  const others = groups.map(({ column }) => column).filter((column) => column !== from);
  return others.find((column) => column > from) ?? others.at(-1)!;
}

/** A file opens where it is open already, else where texts are, else where no panel is. */
export function textColumn(groups: readonly Group[], path: string): number {
  const open = choose(groups, ({ tabs }) => tabs.some((tab) => tab.path === path));
  const texts = choose(groups, ({ tabs }) => tabs.some(({ kind }) => kind === 'text'));
  const free = choose(groups, ({ tabs }) => tabs.every(({ kind }) => kind !== 'panel'));
  return (open ?? texts ?? free)?.column ?? 1;
}

/** The active group if it fits, else the first that does. */
function choose(groups: readonly Group[], fits: (group: Group) => boolean): Group | undefined {
  const fitting = groups.filter(fits);
  return fitting.find(({ active }) => active) ?? fitting[0];
}
