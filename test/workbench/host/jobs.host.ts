import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { before, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { ResultsPanel } from '../../../src/extension/panels/results/panel.ts';
import type { Parts } from '../../../src/extension/parts.ts';
import { shownName } from '../../../src/extension/runs/choose.ts';
import type { Job } from '../../../src/extension/services.ts';
import { progressText } from '../../../src/extension/words.ts';
import { COMMANDS } from '../../../src/protocol/ids.ts';
import { formatPerplexity } from '../../../src/protocol/text.ts';
import { openRun } from '../../../src/runs/index.ts';
import { EXPERIMENT, HOST_SIZE } from '../rig/experiment.ts';
import { activeParts, lensesOf, lineOf, open, openText, until, workspaceUri } from './editor.ts';
import { type Seen, Views } from './views.ts';

type Outcome = Pick<Job, 'state' | 'runDir' | 'message'>;

describe('jobs', function () {
  this.timeout(120_000);
  let parts: Parts;
  before(async () => {
    parts = await activeParts();
  });

  const optimize = () => vscode.commands.executeCommand<Outcome>(COMMANDS.optimize, workspaceUri(EXPERIMENT));
  const steps = (count: number) =>
    new Promise<void>((resolve) => {
      const subscription = parts.jobs.onEvent(({ event }) => {
        if (event.type !== 'step' || event.step < count) return;
        subscription.dispose();
        resolve();
      });
    });

  it('a worker killed in mid-run interrupts the run, which resumes to its end', async () => {
    const ended = optimize();
    await steps(3);
    process.kill(parts.worker.pid!, 'SIGKILL');
    const { state, runDir, message } = await ended;
    assert.equal(state, 'interrupted');
    assert.match(message ?? '', /SIGKILL/);
    assert.equal((await openRun(runDir!)).record.status, 'interrupted');

    const resumed = await vscode.commands.executeCommand<Outcome>(COMMANDS.resume, runDir);
    assert.deepEqual(resumed, { state: 'finished', runDir, message: null });
    const run = await openRun(runDir!);
    const done = (await run.readEvents()).flatMap((event) => (event.type === 'step' ? [event.step] : []));
    assert.equal(Math.max(...done), HOST_SIZE.steps);
    assert.equal(run.record.status, 'finished');
  });

  it('when a worker is killed, tree, lenses and panel say so together with the queue', async () => {
    const views = new Views(parts);
    const document = await open(EXPERIMENT);
    const ended = optimize();
    await steps(3);
    const { runDir } = parts.jobs.running!;
    const toldAtTheEnd: string[][] = [];
    const listener = parts.jobs.onDidChange(({ state }) => {
      if (state === 'interrupted') toldAtTheEnd.push([...views.told].sort());
    });
    const seen: (Seen | null)[] = [await views.look(document, runDir!)];
    process.kill(parts.worker.pid!, 'SIGKILL');
    views.told.clear();
    for (let after = 0; after < 5; after += parts.jobs.running === null ? 1 : 0) {
      // From now on the record says that its process is gone, whatever the queue knows.
      await parts.runs.settle(runDir!);
      seen.push(await views.look(document, runDir!));
      await sleep(5);
    }
    await ended;
    listener.dispose();
    views.dispose();
    const stages = new Set(seen.filter((one) => one !== null).map((one) => Object.values(one).join(' ')));
    assert.deepEqual(
      [...stages],
      ['running running running running', 'interrupted interrupted interrupted interrupted'],
    );
    assert.deepEqual(toldAtTheEnd, [['lenses', 'tree']]);
    await parts.runs.delete(runDir!);
    assert.equal(parts.runs.get(runDir!), undefined, 'a deleted run is still listed');
  });

  it('the lens tells the result of the run', async () => {
    const document = await open(EXPERIMENT);
    const [run] = parts.runs.ofExperiment(document.uri.fsPath);
    const { perplexity } = await run!.readResults();
    const last = await until(async () =>
      (await lensesOf(document)).find(({ title }) => title.startsWith('Re-run (')),
    );
    assert.equal(last.line, lineOf(document, '"evaluation"'));
    assert.ok(
      last.title.startsWith(`Re-run (${formatPerplexity(perplexity[0]!.quantized)} W4A4KV4, `),
      last.title,
    );
  });

  it('a cancelled run stops and can be resumed', async () => {
    const ended = optimize();
    await steps(2);
    await vscode.commands.executeCommand(COMMANDS.cancel);
    const { state, runDir } = await ended;
    assert.equal(state, 'cancelled');
    assert.equal((await openRun(runDir!)).record.status, 'cancelled');
    const document = await open(EXPERIMENT);
    await until(async () => (await lensesOf(document)).find(({ title }) => title === 'Resume'));
    await parts.runs.delete(runDir!);
  });

  it('a matrix is filled cell by cell; lens, progress and results panel tell how far', async () => {
    const lab = JSON.parse((await open(EXPERIMENT)).getText()) as object;
    const matrix = { bits: ['4-8-16', '4-4-4'], methods: ['rtn', 'hadamard-had-rtn'] };
    const document = await openText('table.spinquant.json', JSON.stringify({ ...lab, matrix }, null, 2));
    const file = document.uri.fsPath;
    await parts.experiments.refresh();
    const lens = () =>
      until(async () => (await lensesOf(document)).find(({ title }) => title.includes('Fill table')));
    assert.match((await lens()).title, /Fill table \(0 of 5 cells done\)/);
    assert.equal((await lens()).line, lineOf(document, '"matrix"'));
    const told = new Set<string>();
    const listener = parts.jobs.onEvent(({ job }) => told.add(progressText(parts.jobs.progress(job.id))));
    const { state } = await vscode.commands.executeCommand<Outcome>(COMMANDS.optimize, document.uri);
    listener.dispose();
    assert.equal(state, 'finished');
    assert.ok(
      [...told].some((text) => /^window \d+\/\d+ · RTN · 4-4-4$/.test(text)),
      [...told].join('\n'),
    );
    await parts.runs.refresh();
    const names = parts.runs.ofExperiment(file).map((run) => shownName(run, parts.runs).title);
    assert.deepEqual(names.sort(), [
      'Floating point · 16-16-16',
      'RTN · 4-4-4',
      'RTN · 4-8-16',
      'Random Hadamard R1–R4 + RTN · 4-4-4 · seed 0',
      'Random Hadamard R1–R4 + RTN · 4-8-16 · seed 0',
    ]);
    const panel = new ResultsPanel(parts);
    panel.show(document.uri);
    const { table } = (await panel.state()).matrix;
    panel.dispose();
    assert.deepEqual([table?.file, table?.done, table?.total], [file, 5, 5]);
    assert.ok(table?.rows.every(({ values }) => Number(values[0]?.mean) > 1));
    assert.match((await lens()).title, /Fill table \(5 of 5 cells done\)/);
    for (const { dir } of parts.runs.ofExperiment(file)) await parts.runs.delete(dir);
    await vscode.workspace.fs.delete(document.uri);
  });
});
