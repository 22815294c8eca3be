/** What a person names is used or refused, and results stay those of their run. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import {
  evaluateAndKeep,
  evaluateExperiment,
  findSource,
  inspectActivations,
  optimizeRotation,
} from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { listRuns, openRun } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const KERNELS = { kernels: 'composed' } as const;
const SEED = 3;
let run = '';

type Rotation = Partial<ResolvedExperiment['rotation']>;

/** Rounded to nearest, and with few steps: what is measured does not matter here. */
async function experiment(rotation: Rotation = {}, bits: 4 | 8 = 4): Promise<ResolvedExperiment> {
  const asked = await resolveExperiment(join(folder, 'gptq.spinquant.json'), 'optimize');
  const { weights, ...quantization } = asked.quantization;
  return {
    ...asked,
    quantization: { ...quantization, weights: { ...weights, bits, method: 'rtn' } },
    rotation: { ...asked.rotation, learning: { ...asked.rotation.learning, steps: 2 }, ...rotation },
    evaluation: {
      ...asked.evaluation,
      perplexity: asked.evaluation.perplexity.map((task) => ({ ...task, maxWindows: 2 })),
    },
  };
}

/** Rejects before anything is loaded or computed: not one event comes before. */
async function refused(job: AsyncGenerator<RunEvent, unknown>, expected: object): Promise<void> {
  const seen: string[] = [];
  const all = async () => {
    for await (const event of job) seen.push(event.type);
  };
  await assert.rejects(all, expected);
  assert.deepEqual(seen, []);
}

before(async () => {
  run = (await collect(optimizeRotation(await experiment({ seed: SEED }), KERNELS))).result.run;
});

test('rotations that would not be used are refused, with the keys to set', async () => {
  const asked = await experiment({ r1: 'hadamard', r2: 'none' });
  const expected = {
    code: 'rotation/not-used',
    message: `rotation.r1 is "hadamard" and rotation.r2 is "none": R1 and R2 of ${run} would not be used.`,
    hint: /Set rotation\.r1 or rotation\.r2 to "learned" .* leave --rotations out/,
  };
  await assert.rejects(findSource(asked, { path: run }), expected);
  for (const measure of [evaluateExperiment, inspectActivations])
    await refused(measure(asked, { ...KERNELS, rotations: run }), expected);
});

test('a rotation that is not used beside one that is, is told', async () => {
  const warnings = async (rotation: Rotation) => {
    const job = evaluateExperiment(await experiment(rotation), { ...KERNELS, rotations: run });
    return (await collect(job)).events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  };
  assert.deepEqual(await warnings({ r2: 'none' }), [`rotation.r2 is "none": R2 of ${run} is not used.`]);
  assert.deepEqual(await warnings({}), []);
});

test('a Hadamard matrix that the run drew beside what it learned is drawn again by its seed', async () => {
  const half = { r2: 'hadamard', seed: SEED } as const;
  const { result } = await collect(optimizeRotation(await experiment(half), KERNELS));
  const asked = await experiment({ ...half, seed: 0 });
  const again = await collect(evaluateExperiment(asked, { ...KERNELS, rotations: result.run }));
  assert.deepEqual(again.result.perplexity, result.perplexity);
  assert.ok(again.events.every(({ type }) => type !== 'warning'));
  assert.deepEqual(again.result.rotationsOf, { run: basename(result.run), seed: SEED });
});

test('results of another setting are not put into a run', async () => {
  const before = readFileSync(join(run, 'results.json'), 'utf8');
  const drawn = await experiment({ r1: 'none', r2: 'none' }, 8);
  await refused(evaluateExperiment(drawn, { ...KERNELS, runDir: run }), {
    code: 'runs/other-settings',
    message:
      /quantization\.weights\.bits is 4 there and 8 here; rotation\.r1 is "learned" there and "none" here; rotation\.r2 is/,
    hint: /--keep/,
  });
  const other = join(folder, 'other.safetensors');
  cpSync(join(run, 'rotations.safetensors'), other);
  await refused(evaluateExperiment(await experiment(), { ...KERNELS, runDir: run, rotations: other }), {
    code: 'runs/other-rotations',
  });
  assert.equal(readFileSync(join(run, 'results.json'), 'utf8'), before);
});

test('the seed of the file does not matter for rotations that were learned from another', async () => {
  const { result } = await collect(evaluateExperiment(await experiment(), { ...KERNELS, runDir: run }));
  const { perplexity, rotationsOf } = await (await openRun(run)).readResults();
  assert.deepEqual(perplexity, result.perplexity);
  assert.equal(rotationsOf, undefined, 'they are its own');
});

test('results that cannot be read are told before the work; those that are gone are begun again', async () => {
  const copy = `${run}-copy`;
  cpSync(run, copy, { recursive: true });
  const path = join(copy, 'results.json');
  const whole = await (await openRun(run)).readResults();
  const cases = {
    '{': 'runs/damaged',
    '{"version":1}': 'runs/damaged',
    [JSON.stringify({ ...whole, version: 2 })]: 'runs/version',
    [JSON.stringify({ ...whole, perplexity: [{ name: 3 }] })]: 'runs/damaged',
  };
  for (const [text, code] of Object.entries(cases)) {
    writeFileSync(path, text);
    await refused(evaluateExperiment(await experiment(), { ...KERNELS, runDir: copy }), {
      code,
      hint: code === 'runs/damaged' ? /or delete it: it then is begun again/ : /the version of SpinQuant Lab/,
    });
    assert.equal(readFileSync(path, 'utf8'), text, 'nothing is lost');
  }

  rmSync(path);
  await collect(evaluateExperiment(await experiment(), { ...KERNELS, runDir: copy }));
  const {
    seconds: _,
    measuredAt: __,
    orthogonalityError,
    ...again
  } = await (await openRun(copy)).readResults();
  const { bits, loss, steps, perplexity } = whole;
  assert.deepEqual(again, { version: 1, bits, loss, steps, perplexity });
  assert.ok(orthogonalityError! < 1e-5);
  rmSync(copy, { recursive: true });
});

test('an evaluation keeps the settings and the run of its rotations', async () => {
  const same = await experiment();
  const found = await collect(evaluateAndKeep(same, await findSource(same, { path: run }), KERNELS));
  assert.equal(found.result.run, run, 'the same setting: the results are those of the run');
  const edited = await experiment({}, 8);
  const first = await collect(evaluateAndKeep(edited, await findSource(edited, { path: run }), KERNELS));
  const expected = { run: basename(run), seed: SEED };
  // The newest rotations of the experiment now lie in the folder of that evaluation.
  const second = await experiment({ r3: false });
  const source = await findSource(second, 'newest');
  assert.equal(source?.run?.dir, first.result.run);
  const chained = await collect(evaluateAndKeep(second, source, KERNELS));
  for (const { result } of [first, chained]) {
    const kept = await openRun(result.run);
    assert.deepEqual((await kept.readResults()).rotationsOf, expected);
    assert.equal((await kept.readExperiment()).rotation.seed, SEED);
    assert.deepEqual(result.rotationsOf, expected);
  }
  const again = await collect(
    evaluateAndKeep(edited, await findSource(edited, { path: first.result.run }), KERNELS),
  );
  assert.equal(again.result.run, first.result.run, 'measured again, it is no other run');
});

test('a run without learned rotations takes results of its own setting', async () => {
  const drawn = await experiment({ r1: 'hadamard', r2: 'hadamard' });
  const { result } = await collect(evaluateAndKeep(drawn, null, KERNELS));
  const results = await (await openRun(result.run)).readResults();
  assert.ok(!('rotationsOf' in results));
  const again = await collect(evaluateExperiment(drawn, { ...KERNELS, runDir: result.run }));
  assert.deepEqual(again.result.perplexity, results.perplexity);
});

test('results that cannot be read do not keep new ones from being kept elsewhere', async () => {
  const copy = `${run}-copy`;
  cpSync(run, copy, { recursive: true });
  writeFileSync(join(copy, 'results.json'), '{');
  const asked = await experiment();
  const { result } = await collect(evaluateAndKeep(asked, await findSource(asked, { path: copy }), KERNELS));
  assert.notEqual(result.run, copy);
  assert.ok(existsSync(join(result.run, 'results.json')));
  assert.equal((await listRuns(join(folder, 'runs'))).damaged.length, 0);
});
