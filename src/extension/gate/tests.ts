import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { SETTINGS } from '../../protocol/ids.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import { experimentText } from '../experiments/files.ts';
import { readied } from '../jobs/ready.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { Job, JobRequest, Jobs } from '../services.ts';
import { settingsFor } from '../settings.ts';
import { throttle } from '../throttle.ts';
import { experimentName } from '../words.ts';
import { judge } from './model.ts';

const DEFAULT_LIMIT = 0.1;

/** "Perplexity within x of full precision": a test for every evaluation text of every experiment. */
export function registerGate(parts: Parts): vscode.Disposable {
  const controller = vscode.tests.createTestController(
    'spinquant',
    vscode.l10n.t('SpinQuant: perplexity against full precision'),
  );
  const profile = controller.createRunProfile(
    vscode.l10n.t('Evaluate'),
    vscode.TestRunProfileKind.Run,
    (request, token) => runGate(parts, controller, request, token),
    true,
  );
  const refresh = throttle(() => void fill(parts, controller), 500);
  controller.refreshHandler = async () => {
    await parts.experiments.refresh();
    await fill(parts, controller);
  };
  return vscode.Disposable.from(controller, profile, refresh, parts.experiments.onDidChange(refresh));
}

async function fill({ experiments, log }: Parts, controller: vscode.TestController): Promise<void> {
  const { parseExperiment } = await loadConfig();
  const items: vscode.TestItem[] = [];
  for (const file of experiments.all) {
    try {
      const { experiment, rangeAt } = parseExperiment(await experimentText(file), file);
      if (experiment === null || experiment.evaluation.perplexity.length === 0) continue;
      const uri = vscode.Uri.file(file);
      const item = controller.createTestItem(file, experimentName(file), uri);
      item.description = vscode.workspace.asRelativePath(file);
      for (const [index, { name }] of experiment.evaluation.perplexity.entries()) {
        const child = controller.createTestItem(`${file}#${name}`, name, uri);
        const { line } = rangeAt(['evaluation', 'perplexity', index]);
        child.range = new vscode.Range(line - 1, 0, line - 1, 0);
        item.children.add(child);
      }
      items.push(item);
    } catch (error) {
      log.warn(`${file}: ${messageOf(error)}`);
    }
  }
  controller.items.replace(items);
}

/** Each experiment is evaluated once, for all of its texts. */
async function runGate(
  parts: Parts,
  controller: vscode.TestController,
  request: vscode.TestRunRequest,
  token: vscode.CancellationToken,
): Promise<void> {
  const run = controller.createTestRun(request);
  try {
    for (const [file, tests] of byFile(controller, request)) {
      if (token.isCancellationRequested) break;
      for (const test of tests) run.started(test);
      try {
        await runOne(parts, run, file, tests, token);
      } catch (error) {
        fail(run, tests, messageOf(error));
      }
    }
  } finally {
    run.end();
  }
}

function fail(run: vscode.TestRun, tests: readonly vscode.TestItem[], text: string): void {
  for (const test of tests) run.errored(test, new vscode.TestMessage(text));
}

function byFile(
  controller: vscode.TestController,
  { include, exclude }: vscode.TestRunRequest,
): Map<string, vscode.TestItem[]> {
  const chosen = new Map<string, vscode.TestItem[]>();
  const roots = include ?? [...controller.items].map(([, item]) => item);
  for (const root of roots) {
    const leaves = root.children.size === 0 ? [root] : [...root.children].map(([, item]) => item);
    const file = root.uri!.fsPath;
    const wanted = leaves.filter((leaf) => !exclude?.includes(leaf));
    chosen.set(file, [...(chosen.get(file) ?? []), ...wanted]);
  }
  return chosen;
}

async function runOne(
  parts: Parts,
  run: vscode.TestRun,
  file: string,
  tests: readonly vscode.TestItem[],
  token: vscode.CancellationToken,
): Promise<void> {
  const { experiment, contents } = await readied(file, 'evaluate');
  if (experiment === null) return fail(run, tests, vscode.l10n.t('The experiment has faults: see Problems.'));
  const { hasLearnedRotation } = await loadConfig();
  const learned = hasLearnedRotation(experiment.rotation)
    ? parts.runs.ofExperiment(file).find((candidate) => existsSync(candidate.path('rotations')))
    : null;
  // Without a learned rotation the gate learns one: learning ends with the evaluation.
  const kind = learned === undefined ? 'optimize' : 'evaluate';
  run.appendOutput(`${file}: ${kind}\r\n`);
  const ended = await done(
    parts.jobs,
    { kind, experiment: file, contents, ...(learned && { runDir: learned.dir }) },
    token,
  );
  if (ended === null) return;
  const { state, runDir, message } = ended;
  if (state !== 'finished' || runDir === null) return fail(run, tests, message ?? state);
  const { perplexity } = await (await (await loadRuns()).openRun(runDir)).readResults();
  for (const test of tests)
    report(
      run,
      test,
      perplexity.find(({ name }) => name === test.label),
    );
}

/** Null where the person stops waiting for a job that was asked for elsewhere, which goes on; their own is cancelled. */
async function done(jobs: Jobs, request: JobRequest, token: vscode.CancellationToken): Promise<Job | null> {
  const isOwn = jobs.openJob(request) === null;
  const ended = jobs.submit(request);
  const job = jobs.openJob(request);
  let listener: vscode.Disposable | undefined;
  const left = new Promise<null>((resolve) => {
    listener = token.onCancellationRequested(() => {
      if (isOwn && job !== null) void jobs.cancel(job.id);
      else resolve(null);
    });
  });
  return Promise.race([ended, left]).finally(() => listener?.dispose());
}

function report(run: vscode.TestRun, test: vscode.TestItem, result: Parameters<typeof judge>[0]): void {
  const limit = settingsFor(test.uri?.fsPath ?? null).get<number>(SETTINGS.gateIncrease) ?? DEFAULT_LIMIT;
  const { passed, increase } = judge(result, limit);
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const text = vscode.l10n.t(
    'Perplexity {0} against {1} at full precision: {2} more, {3} allowed ({4}).',
    formatPerplexity(result?.quantized ?? null),
    formatPerplexity(result?.fullPrecision ?? null),
    increase === null ? '–' : percent(increase),
    percent(limit),
    SETTINGS.gateIncrease,
  );
  run.appendOutput(`${test.label}: ${text}\r\n`, undefined, test);
  if (passed) run.passed(test);
  else run.failed(test, new vscode.TestMessage(text));
}
