import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'mocha';
import * as vscode from 'vscode';
import type { ExportInput } from '../../../src/extension/chat/export-tool.ts';
import { languageModelTools, type StartInput, type Tools } from '../../../src/extension/chat/tools.ts';
import type { Parts } from '../../../src/extension/parts.ts';
import { RunSummaries } from '../../../src/extension/runs/summaries.ts';
import type { TargetRow } from '../../../src/protocol/export-plan.ts';
import { TOOLS } from '../../../src/protocol/ids.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { activeParts, open, openText, until } from './editor.ts';

interface JobFacts {
  readonly job: string;
  readonly action: string;
  readonly state: string;
  readonly run: string | null;
  readonly progress?: { readonly phase: string | null; readonly step: number; readonly of: number };
}

interface ResultFacts {
  readonly runs: readonly {
    readonly run: string;
    readonly setting: string;
    readonly measuredAt: string | null;
    readonly perplexity: readonly unknown[];
  }[];
}

interface ExportFacts {
  readonly rows: readonly TargetRow[];
  readonly cost: string;
  readonly bytes: number;
}

interface Failure {
  readonly error: string;
  readonly faults?: readonly string[];
}

const LONG = 'long-tool.spinquant.json';

/** The experiment, with more learning than anybody waits for. */
async function writeLong(): Promise<void> {
  const lab = JSON.parse((await open(EXPERIMENT)).getText()) as { rotation: { learning: object } };
  const learning = { ...lab.rotation.learning, steps: 20_000 };
  await openText(LONG, JSON.stringify({ ...lab, rotation: { ...lab.rotation, learning } }, null, 2));
}

/** As a chat does it: through the editor, by name. No chat is open, so there is no token of one. */
async function invoke<T>(tool: keyof typeof TOOLS, input: object): Promise<T> {
  const { content } = await vscode.lm.invokeTool(TOOLS[tool], { input, toolInvocationToken: undefined });
  const [part] = content;
  assert.ok(part instanceof vscode.LanguageModelTextPart);
  return JSON.parse(part.value) as T;
}

describe('the tools for language models', function () {
  this.timeout(120_000);
  let parts: Parts;
  let summaries: RunSummaries;
  let tools: Tools;
  before(async () => {
    parts = await activeParts();
    summaries = new RunSummaries(parts.runs, parts.log);
    tools = languageModelTools(parts, summaries);
  });
  after(() => summaries.dispose());

  const jobNamed = async (name: string) =>
    (await invoke<{ jobs: JobFacts[] }>('status', {})).jobs.find(({ job }) => job === name);

  it('start an experiment, tell how far it is, and cancel it', async () => {
    await writeLong();
    const started = await invoke<JobFacts>('start', { experiment: LONG, action: 'optimize' });
    assert.deepEqual([started.action, started.state], ['optimize', 'running']);
    const atWork = await until(async () => {
      const job = await jobNamed(started.job);
      return (job?.progress?.step ?? 0) >= 2 ? job : undefined;
    });
    assert.equal(atWork.state, 'running');
    assert.equal(atWork.progress?.phase, 'learn');
    const cancelled = await invoke<JobFacts>('cancel', { job: started.job });
    assert.deepEqual([cancelled.job, cancelled.state], [started.job, 'cancelled']);
    assert.equal((await jobNamed(started.job))?.state, 'cancelled');
    await parts.runs.delete(cancelled.run!);
  });

  it('measure without rotations and give the table', async () => {
    const input = { experiment: EXPERIMENT, action: 'evaluate', withoutRotations: true };
    const started = await invoke<JobFacts>('start', input);
    const { run } = await until(async () => {
      const job = await jobNamed(started.job);
      return job?.state === 'finished' ? job : undefined;
    });
    const { runs } = await invoke<ResultFacts>('results', { experiment: EXPERIMENT });
    const row = runs.find((candidate) => candidate.run === basename(run!));
    const { perplexity, measuredAt } = await parts.runs.get(run!)!.readResults();
    assert.equal(row?.setting, 'W4A4KV4');
    assert.deepEqual(row.perplexity, perplexity);
    assert.equal(row.measuredAt, measuredAt);
    await parts.runs.delete(run!);
  });

  it('start nothing that has faults, and name every one with its place', async () => {
    const text = '{\n  "model": "nowhere",\n  "calibration": { "text": "none.txt" },\n  "threads": 0\n}\n';
    await openText('faulty-tool.spinquant.json', text);
    const before = parts.jobs.all.length;
    const input = { experiment: 'faulty-tool.spinquant.json', action: 'optimize' };
    const { error, faults } = await invoke<Failure>('start', input);
    assert.match(error, /has faults/);
    assert.deepEqual(
      faults?.map((fault) => /json:(\d+:\d+)/.exec(fault)?.[1]),
      ['2:12', '3:28', '4:14'],
    );
    assert.equal(parts.jobs.all.length, before);
  });

  it('plan an export without a question, refuse what has no place, and write where the person was asked', async () => {
    const { runs } = await invoke<ResultFacts>('results', {});
    const { run } = runs.find(({ measuredAt }) => measuredAt !== null)!;
    const planned = await invoke<ExportFacts>('export', { run, format: 'onnx' });
    assert.ok(planned.rows.some(({ part, verdict }) => part === 'activations' && verdict === 'changed'));
    assert.match(planned.cost, /As computed there: not measured/);
    const out = join(parts.runs.list()[0]!.dir, '..', 'exported-by-tool');
    const asked: ExportInput = { run, format: 'huggingface', out };
    const { token } = new vscode.CancellationTokenSource();
    const question = await tools.export.prepareInvocation?.({ input: asked }, token);
    assert.equal(question?.confirmationMessages?.title, 'Export a run');
    assert.ok(String(question.confirmationMessages.message).includes(out));
    const look = await tools.export.prepareInvocation?.({ input: { run, format: 'onnx' } }, token);
    assert.equal(look?.confirmationMessages, undefined);
    const written = await invoke<ExportFacts>('export', asked);
    assert.ok(written.bytes > 10_000 && existsSync(join(out, 'README.md')), JSON.stringify(written));
    assert.match((await invoke<Failure>('export', asked)).error, /exists already/);
    rmSync(out, { recursive: true });
    assert.deepEqual(await invoke<Failure>('export', { run: 'none', format: 'gguf' }), {
      error: 'There is no run none.',
    });
    assert.match((await invoke<Failure>('export', { run, format: 'mlx' })).error, /no format mlx/);
  });

  it('answer in words when there is nothing to cancel', async () => {
    assert.deepEqual(await invoke<Failure>('cancel', {}), { error: 'Nothing is running.' });
    assert.deepEqual(await invoke<Failure>('cancel', { job: 'job-999' }), {
      error: 'There is no job job-999.',
    });
  });

  it('ask before they start or cancel, and say what for; looking needs no question', async () => {
    const { token } = new vscode.CancellationTokenSource();
    const input: StartInput = { experiment: EXPERIMENT, action: 'optimize' };
    const start = await tools.start.prepareInvocation?.({ input }, token);
    assert.equal(start?.confirmationMessages?.title, 'Start an experiment');
    assert.match(
      String(start.confirmationMessages.message),
      /^Run optimize on lab\.spinquant\.json\? .*run folder/,
    );
    const job = await invoke<JobFacts>('start', input);
    const cancel = await tools.cancel.prepareInvocation?.({ input: { job: job.job } }, token);
    assert.equal(cancel?.confirmationMessages?.title, 'Cancel the run');
    assert.match(
      String(cancel.confirmationMessages.message),
      /^Optimizing rotation lab: it stops; .*resumed/,
    );
    await invoke('cancel', {});
    assert.equal(tools.status.prepareInvocation, undefined);
    assert.equal(tools.results.prepareInvocation, undefined);
    const { runDir } = parts.jobs.all.at(-1)!;
    if (runDir !== null) await parts.runs.delete(runDir);
  });
});
