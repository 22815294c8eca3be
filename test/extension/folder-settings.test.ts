/** Two folders of a workspace, each with settings of its own. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ExperimentOverrides } from '../../src/protocol/worker.ts';
import { loadWithEditor, StubController, type StubEditor } from './stub-editor.ts';

const FOLDERS = ['a', 'b'] as const;

/** Runs of an experiment in folder `a` go to `runs-a`, and its device is of that name too; elsewhere nothing is set. */
function makeWorkspace(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'spinquant-folders-'));
  t.after(() => rmSync(root, { recursive: true }));
  const folders = FOLDERS.map((name) => join(root, name));
  const files = folders.map((folder) => join(folder, 'x.spinquant.json'));
  for (const file of files) {
    mkdirSync(dirname(file));
    writeFileSync(file, '{ "model": "model" }');
  }
  const owner = (path: string | null) => folders.find((folder) => path?.startsWith(folder)) ?? null;
  const setting = (key: string, path: string | null) => {
    const name = owner(path)?.at(-1);
    if (name === undefined) return undefined;
    if (key === 'spinquant.runsFolder') return `runs-${name}`;
    return key === 'spinquant.device' ? `device-${name}` : undefined;
  };
  const editor: StubEditor = { folders, documents: [], controller: new StubController(), setting };
  return { folders, files, editor };
}

const OF_FOLDERS = FOLDERS.map((name) => ({ device: `device-${name}`, threads: null, runs: `runs-${name}` }));

test('a job is computed by the settings of the folder of its experiment', async (t) => {
  const { files, editor } = makeWorkspace(t);
  const { WorkerJobs } = await loadWithEditor<typeof import('../../src/extension/jobs/index.ts')>(
    'jobs/index.ts',
    editor,
  );
  const seen: ExperimentOverrides[] = [];
  const client = {
    alive: true,
    stopped: async () => {},
    follow: async (_method: string, { overrides }: { overrides: ExperimentOverrides }) => {
      seen.push(overrides);
      return { run: '/run' };
    },
  };
  type Given = ConstructorParameters<typeof WorkerJobs>;
  // All that the queue asks of them.
  const [worker, unfinished] = [{ connect: async () => client }, { keep() {} }] as unknown as [
    Given[0],
    Given[1],
  ];
  const jobs = new WorkerJobs(worker, unfinished, { info() {} } as unknown as Given[2]);
  for (const experiment of files) await jobs.submit({ kind: 'evaluate', experiment });
  assert.deepEqual(seen, OF_FOLDERS);
});

test('what an experiment takes is estimated by the settings of its folder', async (t) => {
  const { files, editor } = makeWorkspace(t);
  const { workerEstimates } = await loadWithEditor<
    typeof import('../../src/extension/experiments/worker-estimates.ts')
  >('experiments/worker-estimates.ts', editor);
  const seen: unknown[] = [];
  const client = {
    request: async (_method: string, { overrides }: { overrides: unknown }) => {
      seen.push(overrides);
      return null;
    },
  };
  type Given = Parameters<typeof workerEstimates>;
  // All that estimates ask of them.
  const worker = { connect: async () => client } as unknown as Given[0];
  const jobs = { running: null, onDidChange: () => ({ dispose() {} }) } as unknown as Given[1];
  const estimates = workerEstimates(worker, jobs, { warn() {} } as unknown as Given[2]);
  await Promise.all(files.map((file) => estimates.soon(file, '{}', 10_000)));
  assert.deepEqual(seen, OF_FOLDERS);
});

test('runs are looked for where the settings of each folder put them', async (t) => {
  const { folders, editor } = makeWorkspace(t);
  const { findRunFolders } = await loadWithEditor<typeof import('../../src/extension/runs/folders.ts')>(
    'runs/folders.ts',
    editor,
  );
  const found = await findRunFolders();
  for (const [index, folder] of folders.entries())
    assert.ok(found.has(join(folder, `runs-${FOLDERS[index]}`)), [...found].join('\n'));
});
