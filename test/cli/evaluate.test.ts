/** What evaluate and inspect say to what a person names, and where results are kept. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { perplexityTable } from '../../src/cli/perplexity-table.ts';
import type { KeptEvaluation } from '../../src/engine/index.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { spinquant } from './spinquant.ts';

const folder = oldRunsFolder();
const RUN = join('runs', '20261128T151219Z-gptq');

/** Another experiment of the folder: the one with learned rotations and some keys changed. */
function write(name: string, rotation: object, more: object = {}): string {
  const settings = JSON.parse(readFileSync(join(folder, 'gptq.spinquant.json'), 'utf8')) as object;
  writeFileSync(join(folder, name), JSON.stringify({ ...settings, rotation, ...more }));
  return name;
}

test('named rotations that would not be used, and results of other settings, are refused', async () => {
  const file = write('hadamard.spinquant.json', { r1: 'hadamard', r2: 'hadamard' });
  const unused = await spinquant(['evaluate', file, '--rotations', RUN], folder);
  assert.equal(unused.code, 1);
  assert.match(unused.stderr, /R1 and R2 of \S+-gptq would not be used\.\nSet rotation\.r1 or rotation\.r2/);
  const other = await spinquant(['evaluate', file, '--run', RUN], folder);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /rotation\.r1 is "learned" there and "hadamard" here.*\n.*use --keep\./);
  const model = await spinquant(['inspect', 'model', '--rotations', RUN], folder);
  assert.equal(model.code, 1);
  assert.match(model.stderr, /model is a model folder.*--rotations would not be used/);
});

test('results are kept in a run of their own, which the list shows with the run of the rotations', async () => {
  const seen = { name: 'seen', text: 'calibration.txt', sequenceLength: 32, maxWindows: 2 };
  const file = write(
    'eight.spinquant.json',
    { r1: 'learned', r2: 'learned', r3: false },
    { evaluation: { perplexity: [seen] } },
  );
  const kept = await spinquant(
    ['evaluate', file, '--rotations', RUN, '--save', '--kernels', 'composed', '--json'],
    folder,
  );
  assert.equal(kept.code, 0, kept.stderr);
  assert.match(
    kept.stderr,
    /eight\.spinquant\.json:.*: calibration\.txt is also learned on: its perplexity flatters/,
  );
  const { run, rotationsOf, perplexity } = JSON.parse(kept.stdout) as KeptEvaluation;
  assert.deepEqual(rotationsOf, { run: '20261128T151219Z-gptq', seed: 0 });
  const listed = JSON.parse((await spinquant(['runs', file, '--json'], folder)).stdout) as {
    readonly runs: readonly { readonly dir: string; readonly results: object }[];
  };
  const { results } = listed.runs.find(({ dir }) => dir === run)!;
  assert.deepEqual({ ...results, ...{ rotationsOf, perplexity } }, results);
});

test('a run is measured on products of whole numbers, and the table says so', {
  skip: !KERNELS.includes('native'),
}, async () => {
  const shown = await spinquant(['evaluate', RUN, '--integer'], folder);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /Rotations: of 20261128T151219Z-gptq, seed 0\n/);
  assert.match(
    shown.stdout,
    /Multiplied in whole numbers \(integer matmul\): q, k, v, o, gate, up, down\.\n$/,
  );
  const { code, stderr } = await spinquant(['evaluate', RUN, '--integer', '--kernels', 'composed'], folder);
  assert.equal(code, 1);
  assert.match(
    stderr,
    /Integer matmuls need the native operators, and this is .*composed.*\n.*leave --integer out/,
  );
});

test('the table tells what is too large for a number from what was not measured', () => {
  const text = { name: 'stories', windows: 3, tokens: 33 };
  const table = perplexityTable([
    {
      ...text,
      fullPrecision: Math.exp(2),
      quantized: Number.POSITIVE_INFINITY,
      meanLoss: { fullPrecision: 2, quantized: 812.4 },
    },
    { ...text, fullPrecision: null, quantized: 9 },
  ]);
  const lines = table.split('\n');
  assert.match(lines[2]!, /^stories +7\.389 +> 1e308 +– +3 +33$/);
  assert.match(lines[3]!, /^stories +– +9\.000 +– +3 +33$/);
  assert.equal(lines[4], 'stories, quantized: larger than 1e308; the mean loss is 812.40 nats per token.');
  assert.equal(lines.length, 5);
  const both = { fullPrecision: 800, quantized: 900 };
  const infinite = { fullPrecision: Number.POSITIVE_INFINITY, quantized: Number.POSITIVE_INFINITY };
  assert.doesNotMatch(perplexityTable([{ ...text, ...infinite, meanLoss: both }]), /NaN/);
});
