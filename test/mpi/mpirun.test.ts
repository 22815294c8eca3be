/** The command line as two ranks, started by each MPI. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Ended, spinquant } from '../cli/spinquant.ts';
import { demoFolder } from '../helpers/demo-runs.ts';
import { launch, type MpiName, ranksOf, reasonToSkip } from './launch.ts';

const skip = reasonToSkip('Open MPI', 'MPICH');
const folder = demoFolder();
const STEPS = 24;
/** A rank that is killed ends the others within this time, also on a busy machine. */
const END_SECONDS = 20;

interface Settings {
  readonly bits: number;
  readonly rest: number;
  readonly rotation: string;
  readonly model?: string;
}

/** Writes an experiment whose runs have a folder of their own. */
function experimentFile(name: string, { bits, rest, rotation, model = 'model' }: Settings): string {
  const file = join(folder, `${name}.spinquant.json`);
  const learning = { steps: STEPS, batchSize: 4 };
  const experiment = {
    model,
    calibration: { text: 'calibration.txt', samples: 10, sequenceLength: 48 },
    quantization: {
      weights: { bits, method: 'gptq' },
      ...{ activations: { bits: rest }, keys: { bits: rest }, values: { bits: rest } },
    },
    rotation: { r1: rotation, r2: rotation, r3: true, r4: true, ...(rotation === 'learned' && { learning }) },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 64, maxWindows: 5 }] },
    runs: `runs-${name}`,
  };
  writeFileSync(file, JSON.stringify(experiment));
  return file;
}

const learned = (name: string) => experimentFile(name, { bits: 4, rest: 4, rotation: 'learned' });

/** What a run computed: rotations, codes with their grids, and perplexities. */
function bitsOf(name: string): unknown {
  const runs = join(folder, `runs-${name}`);
  const [run, ...others] = readdirSync(runs);
  assert.deepEqual(others, [], 'one run, and nothing that other ranks left');
  const tensors = (path: string) => {
    const bytes = readFileSync(join(runs, run!, path));
    // Headers tell of times.
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))).toString('base64');
  };
  const layers = readdirSync(join(runs, run!, 'rounded')).sort();
  return {
    rotations: tensors('rotations.safetensors'),
    layers: layers.map((layer) => tensors(join('rounded', layer))),
    perplexity: perplexityOf(name),
  };
}

function perplexityOf(name: string): unknown {
  const runs = join(folder, `runs-${name}`);
  return JSON.parse(readFileSync(join(runs, readdirSync(runs)[0]!, 'results.json'), 'utf8')).perplexity;
}

function expectSuccess({ code, stderr }: Ended): void {
  assert.equal(code, 0, stderr);
}

const on = (mpi: MpiName, file: string, ...args: string[]) =>
  launch({ mpi, ranks: 2 }, ['optimize', file, ...args]);

test('two ranks end in the same bits by either MPI, and when one was killed', { skip }, async () => {
  const openMpi = await on('Open MPI', learned('open'));
  expectSuccess(openMpi);
  // Only rank 0 prints.
  assert.equal(openMpi.stdout.match(/^Run: /gm)?.length, 1);
  assert.match(openMpi.stderr, /2 ranks, Open MPI/);
  const wanted = bitsOf('open');

  const mpich = await on('MPICH', learned('mpich'));
  expectSuccess(mpich);
  assert.match(mpich.stderr, /2 ranks, MPICH/);
  assert.deepEqual(bitsOf('mpich'), wanted);

  // A run that is named lies at another place for each rank.
  const [run] = readdirSync(join(folder, 'runs-open'));
  const measured = await launch({ mpi: 'MPICH', ranks: 2 }, [
    'evaluate',
    join(folder, 'runs-open', run!),
    '--json',
  ]);
  expectSuccess(measured);
  assert.deepEqual(JSON.parse(measured.stdout).perplexity, perplexityOf('open'));
  assert.doesNotMatch(measured.stderr, /Rounding/);

  const file = learned('killed');
  let killed: number | null = null;
  const ended = await launch(
    {
      mpi: 'Open MPI',
      ranks: 2,
      watch(stderr) {
        if (killed !== null || !stderr.includes('step 1/')) return;
        const victim = ranksOf(file).find(({ rank }) => rank === 1);
        if (!victim) return;
        process.kill(victim.pid, 'SIGKILL');
        killed = performance.now();
      },
    },
    ['optimize', file],
  );
  assert.ok(killed !== null && (performance.now() - killed) / 1000 < END_SECONDS, ended.stderr);
  assert.notEqual(ended.code, 0);
  assert.deepEqual(ranksOf(file), []);
  expectSuccess(await on('Open MPI', file, '--resume'));
  assert.deepEqual(bitsOf('killed'), wanted);
});

test('GPTQ and perplexity of two ranks are those of one within rounding', { skip }, async () => {
  const file = experimentFile('gptq', { bits: 8, rest: 16, rotation: 'hadamard' });
  const measured = ({ stdout }: Ended) => JSON.parse(stdout).perplexity[0].meanLoss;
  const alone = await spinquant(['evaluate', file, '--json']);
  const both = await launch({ mpi: 'MPICH', ranks: 2 }, ['evaluate', file, '--json']);
  expectSuccess(both);
  const [one, two] = [measured(alone), measured(both)];
  assert.equal(two.fullPrecision, one.fullPrecision);
  // A code that rounding lets fall to the other side is as good as the first: together they are far less than what
  // rounding all weights costs.
  const cost = Math.abs(one.quantized - one.fullPrecision);
  assert.ok(cost > 0 && Math.abs(two.quantized - one.quantized) < cost);
});

test('a library of another MPI than the launcher is one clear fault', { skip }, async () => {
  const file = learned('other');
  for (const [mpi, library] of [
    ['MPICH', 'libmpi.so.40'],
    ['Open MPI', 'libmpich.so.12'],
  ] as const) {
    const env = { SPINQUANT_MPI_LIBRARY: library };
    const { code, stderr } = await launch({ mpi, ranks: 2, env }, ['optimize', file]);
    assert.notEqual(code, 0);
    const message = /started 2 processes, and the MPI library .* sees 1: it is not the launcher's own/g;
    assert.equal(stderr.match(message)?.length, 1, stderr);
  }
});

test('a library that is not there is told once', { skip }, async () => {
  const env = { SPINQUANT_MPI_LIBRARY: 'no-such-library.so' };
  const { code, stderr } = await launch({ mpi: 'MPICH', ranks: 2, env }, ['evaluate', learned('none')]);
  assert.notEqual(code, 0);
  assert.equal(stderr.match(/no MPI library for them was found/g)?.length, 1, stderr);
});

test('ranks of different models, and a matrix, are refused in one message', { skip }, async () => {
  cpSync(join(folder, 'model'), join(folder, 'other-model'), { recursive: true });
  const path = join(folder, 'other-model', 'model.safetensors');
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  const [first, second] = [
    learned('first'),
    experimentFile('second', { bits: 4, rest: 4, rotation: 'learned', model: 'other-model' }),
  ];
  const { code, stderr } = await launch(
    { mpi: 'Open MPI', ranks: 2 },
    ['optimize', first],
    ['optimize', second],
  );
  assert.notEqual(code, 0);
  assert.equal(stderr.match(/The ranks differ in their model/g)?.length, 1, stderr);

  // What ranks do not share, rank 0 does alone.
  const listed = await launch({ mpi: 'MPICH', ranks: 2 }, ['plan', second]);
  expectSuccess(listed);
  assert.equal(listed.stdout.match(/perplexity/g)?.length, 1, listed.stdout);

  mkdirSync(join(folder, 'runs-table'));
  const table = join(folder, 'table.spinquant.json');
  const plain = JSON.parse(readFileSync(first, 'utf8'));
  writeFileSync(
    table,
    JSON.stringify({
      ...plain,
      matrix: { bits: ['4-4-4'], methods: ['rtn'], seeds: [0] },
      runs: 'runs-table',
    }),
  );
  const refused = await launch({ mpi: 'Open MPI', ranks: 2 }, ['optimize', table]);
  assert.equal(refused.stderr.match(/is a matrix, and 2 ranks were started/g)?.length, 1, refused.stderr);
});
