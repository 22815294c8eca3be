/** The whole story of the product as async generators of events: what CLI, worker and tests call. */
export { evaluateExperiment } from './plan/evaluate.ts';
export { inspectActivations } from './plan/inspect.ts';
export { optimizeRotation } from './plan/optimize.ts';
