/** Reads what stands in the run folders, beside what the editor shows of it. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EvaluateResult, GenerateResult } from '../../../src/engine/index.ts';
import type { RunEvent } from '../../../src/protocol/events.ts';
import { listRuns, openRun, type Run } from '../../../src/runs/index.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { ROOT } from '../rig/rig.ts';

/** The run that began last, of those with a word in their names, or null while there is none. */
export async function newestRun(folder: string, word = ''): Promise<Run | null> {
  const runs = join(folder, '.spinquant', 'runs');
  const names = existsSync(runs) ? readdirSync(runs) : [];
  const name = names
    .filter((each) => each.includes(word))
    .sort()
    .at(-1);
  if (name === undefined || !existsSync(join(runs, name, 'run.json'))) return null;
  return openRun(join(runs, name));
}

export async function newestRotated(folder: string): Promise<Run | null> {
  const { runs } = await listRuns(join(folder, '.spinquant', 'runs'));
  for (const run of runs.toSorted((a, b) => (a.dir < b.dir ? 1 : -1)))
    if ((await run.readExperiment()).rotation.r1 !== 'none') return run;
  return null;
}

export async function lossesOf(run: Run): Promise<number[]> {
  const isStep = (event: RunEvent) => event.type === 'step';
  return (await run.readEvents()).filter(isStep).map(({ loss }) => loss);
}

/** What a model or a run writes behind a prompt, by the command line. */
export async function textByCli(
  folder: string,
  from: string,
  prompt: string,
  tokens: number,
): Promise<string> {
  const cli = join(ROOT, 'dist', 'cli.js');
  const args = [cli, 'generate', from, '--prompt', prompt, '--tokens', String(tokens), '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder });
  const { text }: GenerateResult = JSON.parse(stdout);
  return text;
}

/** Perplexity of the experiment with the rotations of a run, as the command line measures it. */
export async function perplexityByCli(folder: string, run: Run): Promise<number> {
  const args = [join(ROOT, 'dist', 'cli.js'), 'evaluate', EXPERIMENT, '--rotations', run.path('rotations')];
  const { stdout } = await promisify(execFile)(process.execPath, [...args, '--json'], { cwd: folder });
  const { perplexity }: EvaluateResult = JSON.parse(stdout);
  return perplexity[0]!.quantized!;
}
