/** Figures in rows without an empty place at their end. */
import { setAttribute } from './dom.ts';

/**
 * The columns of the first figure of each group, so that its rows are full. A figure that takes a row of its own ends a
 * group.
 * @param full of each figure, whether it takes a row of its own.
 */
export function firstSpans(full: readonly boolean[], columns: number): number[] {
  const spans: number[] = full.map(() => 1);
  let first = 0;
  for (let index = 0; index <= full.length; index++) {
    if (index < full.length && !full[index]) continue;
    const rest = (index - first) % columns;
    if (index > first && rest > 0) spans[first] = columns - rest + 1;
    first = index + 1;
  }
  // A lone first figure with full rows behind it is the one that is looked at most.
  return spans;
}

/** Keeps the rows of a grid full, whatever its width and whichever of its figures are hidden. */
export function fillRows(grid: HTMLElement): void {
  const update = (): void => {
    const columns = getComputedStyle(grid).gridTemplateColumns.split(' ').length;
    const figures = [...grid.children].filter(
      (child): child is HTMLElement => child instanceof HTMLElement && !child.hidden,
    );
    const spans = firstSpans(
      figures.map(({ classList }) => classList.contains('full')),
      columns,
    );
    figures.forEach((figure, index) => {
      setAttribute(figure, 'data-span', spans[index] === 1 ? null : spans[index]);
    });
  };
  new ResizeObserver(update).observe(grid);
  new MutationObserver(update).observe(grid, {
    attributes: true,
    attributeFilter: ['hidden'],
    childList: true,
    subtree: true,
  });
}
