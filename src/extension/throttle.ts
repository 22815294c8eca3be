export interface Throttled {
  (): void;
  /** Does the work at once, whenever it was done last; while it is being done, at its end. */
  readonly now: () => void;
  dispose(): void;
}

/**
 * Calls `work` at once, then at most once in `intervalMs` and never before it has ended. Calls in between are gathered
 * into the next, so that the last state is always told.
 * @param work must not reject.
 */
export function throttle(work: () => unknown, intervalMs: number): Throttled {
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
    now() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      call();
    },
    dispose() {
      disposed = true;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  });
}
