/** A chart that is not built yet. */
export interface Unbuilt {
  /** Whether any of its place is in sight. */
  isInSight(): boolean;
  build(): void;
}

/** What is in sight gets its frames first. */
const REST_MS = 100;
/** A page that is never idle gets its charts all the same. */
const LATEST_MS = 500;

/** Charts that wait: those in sight until all of a state are known, the others until the page is idle. */
const waiting = new Set<Unbuilt>();
let isAsked = false;

/** Builds the chart before the next frame where it is in sight; else when the page is idle, one after the other. */
export function buildSoon(chart: Unbuilt): void {
  waiting.add(chart);
  if (isAsked) return;
  isAsked = true;
  queueMicrotask(buildSeen);
}

/** The chart needs no building any more. */
export function leaveQueue(chart: Unbuilt): void {
  waiting.delete(chart);
}

function buildSeen(): void {
  isAsked = false;
  // All are looked at before one is drawn, so that the page is laid out once.
  for (const chart of [...waiting].filter((one) => one.isInSight())) build(chart);
  buildLater();
}

function buildLater(): void {
  if (waiting.size > 0) setTimeout(() => requestIdleCallback(buildNext, { timeout: LATEST_MS }), REST_MS);
}

function buildNext(): void {
  const [chart] = waiting;
  if (!chart) return;
  build(chart);
  buildLater();
}

function build(chart: Unbuilt): void {
  waiting.delete(chart);
  chart.build();
}
