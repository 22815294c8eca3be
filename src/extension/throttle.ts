/**
 * Calls `work` at once, then at most once in `intervalMs` and never before it has ended; calls in between are gathered
 * into the next, so that the last state is always told.
 * @param work must not reject.
 */
export function throttle(work: () => unknown, intervalMs: number): { (): void; dispose(): void } {
  let timer: NodeJS.Timeout | null = null;
  let busy = false;
  let wanted = false;
  let disposed = false;
  const proceed = () => {
    if (!wanted || busy || timer !== null || disposed) return;
    wanted = false;
    timer = setTimeout(() => {
      timer = null;
      proceed();
    }, intervalMs);
    const ended = work();
    if (!(ended instanceof Promise)) return;
    busy = true;
    void ended.finally(() => {
      busy = false;
      proceed();
    });
  };
  const call = () => {
    wanted = true;
    proceed();
  };
  return Object.assign(call, {
    dispose() {
      disposed = true;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  });
}
