/** The whole story of the product as async generators of events: what CLI, worker and tests call. */
export { evaluateExperiment } from './experiment/evaluate.ts';
export { inspectActivations } from './experiment/inspect.ts';
export { optimizeRotation } from './experiment/optimize.ts';
