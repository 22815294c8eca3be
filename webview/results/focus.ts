/** Redraws a part of the page; focus and scroll positions stay with what they were on. */
export function keepingFocus(part: HTMLElement, redraw: () => void): void {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const name = focused?.getAttribute('data-focus') ?? null;
  const scrolls = [...part.querySelectorAll<HTMLElement>('[data-scroll]')].map((element) => ({
    name: element.dataset.scroll,
    left: element.scrollLeft,
    top: element.scrollTop,
  }));
  redraw();
  for (const { name: scroll, left, top } of scrolls) {
    const element = part.querySelector<HTMLElement>(`[data-scroll="${scroll}"]`);
    element?.scrollTo(left, top);
  }
  if (name === null) return;
  const again = [...part.querySelectorAll<HTMLElement>('[data-focus]')].find(
    (element) => element.dataset.focus === name,
  );
  again?.focus({ preventScroll: true });
}
