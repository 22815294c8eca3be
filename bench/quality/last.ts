/** What a job returns; its events are shown to `note`, and let go. */
export async function last<E, T>(events: AsyncGenerator<E, T>, note?: (event: E) => void): Promise<T> {
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
    note?.(next.value);
  }
}
