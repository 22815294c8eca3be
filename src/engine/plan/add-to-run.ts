/** Measurements that are added to a run: only those of its own setting, and nothing is measured that could not be added. */
import { existsSync } from 'node:fs';
import { bitsLabel, decidingDifferences, type ResolvedExperiment } from '../../config/index.ts';
import { expectWritable } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import type { NewResults, PerplexityResult, Run, TaskResult } from '../../runs/index.ts';
import { originOf, type Source } from './source.ts';

/**
 * Looks before the work whether measurements may be added to a run.
 * @throws UserError `runs/busy`, `runs/other-settings` with every setting that differs, `runs/other-rotations`, and those of
 * reading and writing `results.json`.
 */
export async function expectPlace(
  run: Run,
  experiment: ResolvedExperiment,
  source: Source | null,
): Promise<void> {
  expectAtRest(run);
  const then = await run.readExperiment();
  const differences = decidingDifferences(then, experiment, 'any');
  if (differences.length > 0) {
    const list = differences.map(
      ({ path, a, b }) => `${path} is ${settingText(a)} there and ${settingText(b)} here`,
    );
    throw new UserError(
      'runs/other-settings',
      `The run ${run.record.id} has other settings, and its results would no longer be those of its experiment: ${list.join('; ')}.`,
      'Leave --run out. To keep the results in a run of their own, use --keep.',
    );
  }
  if (source && source.rotations !== run.path('rotations'))
    await expectSameRotations(run, source, then.rotation.seed);
  await readOrBegin(run);
  expectWritable(run.path('results'));
}

/** What is at work on a run writes its results at its end, without those that were added meanwhile. */
function expectAtRest({ record }: Run): void {
  if (record.status !== 'running') return;
  const { pid, host } = record.process;
  throw new UserError(
    'runs/busy',
    `The run ${record.id} is at work in process ${pid} on ${host}, and will write its own results.`,
    'Wait for its end, or leave --run out.',
  );
}

async function expectSameRotations(run: Run, source: Source, seed: number): Promise<void> {
  const own = await originOf(run, seed);
  if (source.origin.run !== null && source.origin.run === own.run) return;
  throw new UserError(
    'runs/other-rotations',
    `${source.rotations} is not of the run ${run.record.id}, whose results are those of the rotations of ${own.run}.`,
    'Name either --rotations or --run. To keep the results in a run of their own, use --keep with --rotations.',
  );
}

/** Puts new measurements beside, or in place of, those that a run has under the same names. */
export async function addToRun(
  run: Run,
  fresh: readonly PerplexityResult[],
  freshTasks: readonly TaskResult[],
): Promise<void> {
  const results = await readOrBegin(run);
  const byName = new Map(results.perplexity.map((result) => [result.name, result]));
  for (const result of fresh) byName.set(result.name, combined(byName.get(result.name), result));
  const byTask = new Map(results.tasks?.map((result) => [result.task, result]));
  for (const result of freshTasks) byTask.set(result.task, combinedTask(byTask.get(result.task), result));
  const tasks = [...byTask.values()];
  run.writeResults({ ...results, perplexity: [...byName.values()], ...(tasks.length > 0 && { tasks }) });
}

/** What was measured now, and of what was not, what was measured before. */
function combined(known: PerplexityResult | undefined, fresh: PerplexityResult): PerplexityResult {
  // Two numbers of different precision are not to be compared.
  const before = known?.precision === fresh.precision ? known : undefined;
  const { integer } = (fresh.quantized === null ? before : fresh) ?? {};
  return {
    ...fresh,
    ...(integer && { integer }),
    fullPrecision: fresh.fullPrecision ?? before?.fullPrecision ?? null,
    quantized: fresh.quantized ?? before?.quantized ?? null,
    meanLoss: {
      fullPrecision: fresh.meanLoss?.fullPrecision ?? before?.meanLoss?.fullPrecision ?? null,
      quantized: fresh.meanLoss?.quantized ?? before?.meanLoss?.quantized ?? null,
    },
  };
}

/** Scores of other questions, or of another precision, are not put beside new ones. */
function combinedTask(before: TaskResult | undefined, fresh: TaskResult): TaskResult {
  if (before?.questions !== fresh.questions || before.precision !== fresh.precision) return fresh;
  const { integer } = fresh.quantized === null ? before : fresh;
  return {
    ...fresh,
    ...(integer && { integer }),
    fullPrecision: fresh.fullPrecision ?? before.fullPrecision,
    quantized: fresh.quantized ?? before.quantized,
  };
}

/** The results of a run; where their file is gone, what its events tell of them. */
async function readOrBegin(run: Run): Promise<NewResults> {
  if (existsSync(run.path('results'))) return readToAdd(run);
  const steps = (await run.readEvents()).filter((event) => event.type === 'step');
  const [first, last] = [steps[0], steps.at(-1)];
  return {
    version: 1,
    bits: bitsLabel((await run.readExperiment()).quantization),
    loss: first && last ? { first: first.loss, last: last.loss } : null,
    orthogonalityError: last?.orthogonalityError ?? null,
    steps: last?.step ?? 0,
    perplexity: [],
    seconds: {},
  };
}

/** The file may be given up where it is damaged: what was learned is in others. */
async function readToAdd(run: Run): Promise<NewResults> {
  try {
    return await run.readResults();
  } catch (error) {
    if (!(error instanceof UserError && error.code === 'runs/damaged')) throw error;
    const hint =
      'Restore the file from a copy, or delete it: it then is begun again from the events of the run.';
    throw new UserError(error.code, error.message, hint);
  }
}

/** A value as the experiment file writes it. */
function settingText(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}
