/**
 * Calls `work` soon after the first call and at most once in `intervalMs`; calls in between are gathered into the next.
 * A trailing call is never lost.
 */
export function throttle(work: () => void, intervalMs: number): { (): void; dispose(): void } {
  let timer: NodeJS.Timeout | null = null;
  let again = false;
  const run = () => {
    again = false;
    timer = setTimeout(() => {
      timer = null;
      if (again) run();
    }, intervalMs);
    work();
  };
  const call = () => {
    if (timer === null) run();
    else again = true;
  };
  return Object.assign(call, {
    dispose() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      again = false;
    },
  });
}
