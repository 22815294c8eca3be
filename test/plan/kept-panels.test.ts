/** A run keeps its weights as products read them: what writes and measures with it maps them, and computes the same. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import {
  evaluateAndKeep,
  evaluateExperiment,
  type GenerateResult,
  generateText,
} from '../../src/engine/index.ts';
import { openRun, RUN_FILES } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';
const folder = demoFolder();
const rotation = { r1: 'hadamard', r2: 'hadamard', r3: false, r4: true } as const;
let run = '';

before(async () => {
  if (skip) return;
  const asked = await shortExperiment(folder, { rotation, weights: { method: 'rtn', bits: 4 } });
  run = (await collect(evaluateAndKeep(asked, null, {}))).result.run;
});

function copyOfRun(name: string): string {
  const copy = join(dirname(run), name);
  cpSync(run, copy, { recursive: true });
  return copy;
}

const packedIn = (dir: string): string => join(dir, RUN_FILES.packed);

/** Size and time of writing of all files of packed weights. */
function filesOf(dir: string): readonly string[] {
  const names = readdirSync(packedIn(dir)).sort();
  return names.map((name) => {
    const { size, mtimeNs } = statSync(join(packedIn(dir), name), { bigint: true });
    return `${name} ${size} ${mtimeNs}`;
  });
}

async function written(dir: string, more: { cacheBits?: 4; simulated?: true; headBits?: 8 } = {}) {
  const request = {
    ...{ from: { run: dir }, prompt: { text: 'once upon', chat: null }, tokens: 6, choice: MOST_LIKELY },
    ...{ seed: 0, stops: [], cacheBits: null, simulated: false, ...more },
  };
  const writing = generateText(request, {});
  for (;;) {
    const next = await writing.next();
    if (next.done) return next.value;
  }
}

/** What must be the same to the bit. */
const told = ({ ids, text, weightBytes }: GenerateResult) => ({ ids, text, weightBytes });

test('a run keeps its packed weights when they are first used, for generate and evaluate', {
  skip,
}, async () => {
  const dir = copyOfRun('first');
  assert.equal(existsSync(packedIn(dir)), false, 'a measurement of a simulation packs nothing for later');
  const expected = await written(dir);
  const layers = filesOf(dir);
  assert.equal(layers.length, 5);
  assert.deepEqual(told(await written(dir)), told(expected));
  // Keys and values of other bits, and measuring, read the same weights; a simulation reads none.
  await written(dir, { cacheBits: 4 });
  await written(dir, { simulated: true });
  assert.deepEqual(filesOf(dir), layers);
  await written(dir, { headBits: 8 });
  assert.equal(filesOf(dir).length, layers.length + 1);
});

test('measuring in whole numbers keeps them too, with the same perplexity', { skip }, async () => {
  const asked = await shortExperiment(folder, { rotation, weights: { method: 'rtn', bits: 4 } });
  const quantized = { variants: ['quantized'], integer: true } as const;
  const { result } = await collect(evaluateExperiment(asked, quantized));
  const kept = (await collect(evaluateAndKeep(asked, null, { integer: true }))).result;
  const files = filesOf(kept.run);
  assert.ok(files.length > 0);
  const again = (await collect(evaluateExperiment(asked, { ...quantized, runDir: kept.run }))).result;
  assert.equal(kept.perplexity[0]!.quantized, result.perplexity[0]!.quantized);
  assert.equal(again.perplexity[0]!.quantized, result.perplexity[0]!.quantized);
  assert.deepEqual(filesOf(kept.run), files);
  await openRun(kept.run);
});

test('damaged files are packed again, and others are left', { skip }, async () => {
  const dir = copyOfRun('damaged');
  const expected = await written(dir);
  const files = filesOf(dir);
  truncateSync(join(packedIn(dir), 'layer-0001.safetensors'), 5000);
  rmSync(join(packedIn(dir), 'layer-0002.safetensors'));
  assert.deepEqual(told(await written(dir)), told(expected));
  const [first, second, third, ...others] = filesOf(dir);
  assert.deepEqual([first, ...others], [files[0], ...files.slice(3)]);
  for (const [found, before] of [
    [second, files[1]],
    [third, files[2]],
  ] as const) {
    assert.equal(found!.split(' ')[1], before!.split(' ')[1], 'whole again');
    assert.notEqual(found, before);
  }
});

test('weights of another setting are not taken', { skip }, async () => {
  const dir = copyOfRun('other');
  const expected = await written(dir);
  const file = join(dir, RUN_FILES.experiment);
  const experiment = JSON.parse(readFileSync(file, 'utf8')) as {
    rotation: { seed: number };
  };
  experiment.rotation.seed++;
  writeFileSync(file, JSON.stringify(experiment));
  const before = filesOf(dir);
  assert.notDeepEqual(told(await written(dir)), told(expected));
  assert.equal(filesOf(dir).filter((one) => before.includes(one)).length, 0);
});

test('where a run cannot be written to, weights are packed in memory', { skip }, async () => {
  const expected = told(await written(copyOfRun('writable')));
  const dir = copyOfRun('occupied');
  writeFileSync(packedIn(dir), 'a file where the folder should be');
  assert.deepEqual(told(await written(dir)), expected);
  const closed = copyOfRun('closed');
  chmodSync(closed, 0o555);
  try {
    assert.deepEqual(told(await written(closed)), expected);
    // Root may write anywhere.
    assert.equal(existsSync(packedIn(closed)), process.getuid?.() === 0);
  } finally {
    chmodSync(closed, 0o755);
  }
});
