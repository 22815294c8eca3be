import type { ExperimentFiles } from './experiments/files.ts';
import type { Worker } from './jobs/worker.ts';
import type { WorkspaceRuns } from './runs/store.ts';
import type { RunSummaries } from './runs/summaries.ts';
import type { Services } from './services.ts';

/** The services, as those who build them know them. */
export interface Parts extends Services {
  readonly runs: WorkspaceRuns;
  readonly summaries: RunSummaries;
  readonly experiments: ExperimentFiles;
  readonly worker: Worker;
}
