/** Records what a built checkout computes, for compare.ts: `record.ts --root DIR --out FILE`. See README.md. */
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { differences } from './differences.ts';
import { EXPERIMENTS, type RecordedExperiment } from './experiments.ts';
import { isList, isObject, type JsonObject } from './json.ts';
import { normalise, type Places } from './normalise.ts';
import { ask, optimizeKilled, type Product } from './product.ts';
import { readRun } from './run-folder.ts';

/** The demo beside this script: every checkout is given the same texts and weights. */
const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo');

/** A resumed run must have these in common with one that was never stopped. */
const RESUMED_PARTS = ['optimize', 'rotations', 'rounded', 'checkpoint', 'results', 'activations'];
const RESUMED_EVENTS: ReadonlySet<unknown> = new Set(['step', 'rounding', 'evaluation', 'statistics']);

interface Recorder {
  readonly product: Product;
  /** Folder that holds the demo and an own folder for each experiment. */
  readonly work: string;
  readonly threads: number;
}

const { values } = parseArgs({
  options: {
    root: { type: 'string' },
    out: { type: 'string' },
    kernels: { type: 'string', default: 'native' },
    threads: { type: 'string', default: '1' },
    /** Experiments at a time. */
    jobs: { type: 'string', default: '2' },
    /** Name of an experiment, once for each; all unless said. */
    only: { type: 'string', multiple: true },
    /** An empty folder that keeps the runs; a temporary one unless said. */
    work: { type: 'string' },
  },
});
const { root, out, kernels } = values;
if (root === undefined || out === undefined) throw new Error('usage: record.ts --root DIR --out FILE');
const faults = await record({ root: resolve(root), kernels }, resolve(out));
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;

/** @returns what is wrong with the recording by itself: resumed runs that ended otherwise. */
async function record(product: Product, file: string): Promise<string[]> {
  const work = realpathSync(values.work ?? mkdtempSync(join(tmpdir(), 'recorded-')));
  const recorder = { product, work, threads: Number(values.threads) };
  try {
    cpSync(DEMO, join(work, 'demo'), { recursive: true, filter: (path) => !path.includes('.spinquant/') });
    const experiments = await recordAll(recorder);
    const recording = { version: 1, kernels: product.kernels, threads: recorder.threads, experiments };
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(recording, null, 1)}\n`);
    return Object.entries(experiments).flatMap(([name, parts]) => resumeFaults(name, parts));
  } finally {
    if (values.work === undefined) rmSync(work, { recursive: true, force: true });
  }
}

/** Several at a time, in the order of the list. */
async function recordAll(recorder: Recorder): Promise<Record<string, JsonObject>> {
  const chosen = EXPERIMENTS.filter(({ name }) => values.only?.includes(name) ?? true);
  const recorded: Record<string, JsonObject> = {};
  const waiting = [...chosen];
  const recordNext = async (): Promise<void> => {
    for (let experiment = waiting.shift(); experiment; experiment = waiting.shift()) {
      const began = performance.now();
      recorded[experiment.name] = await recordExperiment(recorder, experiment);
      console.error(`${experiment.name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, recordNext));
  return Object.fromEntries(chosen.map(({ name }) => [name, recorded[name]!]));
}

async function recordExperiment(
  recorder: Recorder,
  { name, settings, learns, kill }: RecordedExperiment,
): Promise<JsonObject> {
  const file = join(recorder.work, name, `${name}.spinquant.json`);
  mkdirSync(dirname(file));
  writeFileSync(file, JSON.stringify({ ...settings, threads: recorder.threads }, null, 2));
  if (!learns) return recordMeasurements(recorder, file, null);
  const whole = await recordOptimize(recorder, file, []);
  if (kill === null) return { ...whole.parts, ...(await recordMeasurements(recorder, file, whole.run)) };
  await optimizeKilled(recorder.product, file, join(dirname(file), 'runs'), kill);
  const { run, parts } = await recordOptimize(recorder, file, ['--resume']);
  const measured = await recordMeasurements(recorder, file, run);
  return {
    ...parts,
    ...measured,
    uninterrupted: whole.parts,
    unlikeUninterrupted: unlike(whole.parts, parts),
  };
}

async function recordOptimize(
  recorder: Recorder,
  file: string,
  options: readonly string[],
): Promise<{ run: string; parts: JsonObject }> {
  const { document } = await ask(recorder.product, ['optimize', file, ...options]);
  const { run } = document;
  if (typeof run !== 'string') throw new Error(`${file}: optimize names no run`);
  const places = placesOf(recorder, run);
  return { run, parts: { optimize: normalise(document, places), ...readRun(run, places) } };
}

/** @param run whose rotations, and rounded weights, are used; null where none are learned. */
async function recordMeasurements(recorder: Recorder, file: string, run: string | null): Promise<JsonObject> {
  const rotations = run === null ? [] : ['--rotations', run];
  const places = placesOf(recorder, run);
  const evaluated = await ask(recorder.product, ['evaluate', file, ...rotations]);
  const inspected = await ask(recorder.product, ['inspect', file, ...rotations]);
  return {
    evaluate: normalise(evaluated.document, places),
    /** False where rounded weights of the run served again, and where nothing is rounded by itself. */
    evaluateRounded: /^round(ed|ing) /im.test(evaluated.stderr),
    inspect: normalise(inspected.document, places),
  };
}

function placesOf({ product, work }: Recorder, run: string | null): Places {
  const runPlaces = run === null ? [] : ([[basename(run), '<run>']] as const);
  return [[work, '<work>'], [product.root, '<root>'], ...runPlaces];
}

function unlike(whole: JsonObject, resumed: JsonObject): string[] {
  const common = (parts: JsonObject): JsonObject => ({
    ...Object.fromEntries(RESUMED_PARTS.map((part) => [part, parts[part] ?? null])),
    events: (isList(parts.events) ? parts.events : []).filter(
      (event) => isObject(event) && RESUMED_EVENTS.has(event.type),
    ),
  });
  return differences(common(whole), common(resumed)).map(({ path }) => path);
}

function resumeFaults(name: string, { unlikeUninterrupted: paths }: JsonObject): string[] {
  if (!isList(paths) || paths.length === 0) return [];
  return [`${name}: the resumed run is unlike the uninterrupted one: ${paths.slice(0, 5).join('; ')}`];
}
