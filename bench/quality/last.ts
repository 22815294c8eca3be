/** Returns a job's result. It passes the events to `note` and drops them. */
export async function last<E, T>(events: AsyncGenerator<E, T>, note?: (event: E) => void): Promise<T> {
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
    note?.(next.value);
  }
}
