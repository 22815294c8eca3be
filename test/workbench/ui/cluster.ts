import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Run } from '../../../src/runs/index.ts';
import type { VirtualCluster } from '../../cluster/virtual-cluster.ts';
import { screenshot } from '../rig/rig.ts';
import { eventually } from './eventually.ts';
import { cells, drawnLine } from './panels.ts';
import { newestRun } from './run-files.ts';
import type { Session } from './session.ts';

const FILE = 'cluster.spinquant.json';
const MEASURED = /^\d+\.\d{1,3}/;
const LONG_MS = 120_000;

const LEARNS = 'spinquant-had-rtn';
/** Cells that take seconds, and learning that takes longer than anybody waits. */
const CELLS = { bits: ['4-4-4'], methods: ['rtn', 'hadamard-had-rtn', LEARNS], seeds: [0] };
const EXPERIMENT = {
  matrix: CELLS,
  model: 'model',
  calibration: { text: 'calibration.txt', samples: 64, sequenceLength: 64 },
  evaluation: {
    perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 64, maxWindows: 8 }],
  },
  rotation: { learning: { steps: 20_000, batchSize: 2 } },
  cluster: { scheduler: 'slurm', cpus: 1, memory: '500M', time: '5', maxJobs: 2 },
  threads: 1,
};

const ONE = 'one.spinquant.json';

/** An experiment that is no table goes there, too: its run is that of a job. */
export async function runOnCluster({ folder, workbench }: Session): Promise<void> {
  const { matrix, ...rest } = EXPERIMENT;
  const rotation = { r1: 'learned', r2: 'learned', learning: { steps: 20, batchSize: 2 } };
  writeFileSync(join(folder, ONE), JSON.stringify({ ...rest, rotation }, null, 2));
  await workbench.openFile(ONE);
  await workbench.lens('Optimize rotation').click();
  await eventually(
    'its job at work',
    () => status({ workbench }),
    (text) => text.includes('1 job at work on the cluster'),
    LONG_MS,
  );
  const isFinished = (run: Run | null) => run?.record.status === 'finished';
  await eventually('its run', () => newestRun(folder), isFinished, LONG_MS);
  await workbench.notification('one: rotation learned').waitFor({ timeout: LONG_MS });
}

const status = ({ workbench }: Pick<Session, 'workbench'>) =>
  workbench.page.locator('.statusbar').innerText();

/** The lens hands the cells to the cluster: the status bar tells how the jobs stand, the table fills as they end. */
export async function fillOnCluster(session: Session): Promise<void> {
  const { folder, workbench } = session;
  writeFileSync(join(folder, FILE), JSON.stringify(EXPERIMENT, null, 2));
  await workbench.openFile(FILE);
  await workbench.lens('Fill table (0 of 4 cells done)').click();
  await eventually(
    'jobs at work',
    () => status(session),
    (text) => /\d jobs? at work on the cluster/.test(text),
    LONG_MS,
  );
  const results = await workbench.webview(/^Results/);
  const filled = async () => {
    const rows = await cells(results.locator('table.matrix tbody tr:has(td)'));
    return rows.filter(([, value]) => MEASURED.test(value ?? '')).length;
  };
  await eventually('the short cells', filled, (count) => count === 3, LONG_MS);
  await eventually(
    'a job that learns',
    // Jobs of two nodes begin in any order: the newest run may be another.
    () => newestRun(folder, LEARNS),
    (run) => run?.record.status === 'running',
    LONG_MS,
  );
  await screenshot(workbench.page, 'cluster-light');
}

/** The run of a job on another node is drawn as it learns. */
export async function watchJob(session: Session): Promise<void> {
  const { workbench } = session;
  await workbench.command('SpinQuant: Show Training');
  const training = await workbench.webview(/^Training · SpinQuant had/);
  const points = async () => (await drawnLine(training, 'loss')).split('L').length;
  await eventually('its curve', points, (count) => count > 2, LONG_MS);
  await screenshot(workbench.page, 'cluster-training-light');
}

/** Who cancels in the editor means the jobs. */
export async function cancelOnCluster(session: Session, cluster: VirtualCluster): Promise<void> {
  await session.workbench.command('SpinQuant: Cancel');
  await eventually(
    'an empty queue',
    () => cluster.slurm('squeue', '--noheader'),
    (list) => list.trim() === '',
    LONG_MS,
  );
  await screenshot(session.workbench.page, 'cluster-cancelled-light');
}
