/**
 * Seconds of one learning step, the product against the PyTorch program, one step of each in turn.
 *
 *     node bench/peers/compare_step.mjs PYTHON MODEL_FOLDER CALIBRATION_TEXT [ROUNDS [THREADS]]
 *
 * Prints JSON. Absolute seconds depend on what else the machine does; the ratios are medians over rounds of steps that
 * ran within seconds of each other. Where other programs take the cores, threads wait for each other: then one thread and
 * CPU seconds say more. 8 × 256 tokens, W4A4KV4 with the weights rounded in the loop.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const [python, model, calibration, roundsText = '7', threadsText = '2'] = process.argv.slice(2);
if (!calibration)
  throw new Error('usage: compare_step.mjs PYTHON MODEL_FOLDER CALIBRATION_TEXT [ROUNDS [THREADS]]');
const here = dirname(fileURLToPath(import.meta.url));
const repository = resolve(here, '../..');
const folder = mkdtempSync(join(tmpdir(), 'compare-step-'));
const THREADS = Number(threadsText);
const LENGTH = 256;

function experimentFile(weightClip) {
  const file = join(folder, `${weightClip ? 'clip' : 'plain'}.spinquant.json`);
  const document = {
    model: resolve(model),
    calibration: { text: resolve(calibration), sequenceLength: LENGTH },
    quantization: { weights: { bits: 4, clip: weightClip } },
    threads: THREADS,
  };
  writeFileSync(file, JSON.stringify(document));
  return file;
}

/** A child that does one learning step per line; `step()` resolves to what it reports. */
async function start(command, args) {
  const child = spawn(command, args, { cwd: repository, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${args.join(' ')} ended early`);
    return value;
  };
  const description = (await line()).replace(/^ready ?/, '');
  return {
    description,
    async step() {
      child.stdin.write('\n');
      return JSON.parse(await line());
    },
    stop: () => child.stdin.end(),
  };
}

const ours = (weightClip) =>
  start('node', ['--import', 'tsx', join(here, 'our_steps.ts'), experimentFile(weightClip)]);

const torch = (...flags) =>
  start(python, [
    join(here, 'spinquant_torch.py'),
    'steps',
    resolve(model),
    ...['--calibration', resolve(calibration), '--rotations', 'hadamard', '--threads', String(THREADS)],
    ...['--length', String(LENGTH), ...flags],
  ]);

const programs = {
  product: await ours(false),
  'product, clip search': await ours(true),
  'torch, float64 rotation': await torch(),
  'torch, float64 rotation, recomputing': await torch('--recompute'),
  'torch, float64 rotation, recomputing, clip search': await torch('--recompute', '--weight-clip'),
  'torch, float32': await torch('--fast'),
  'torch, float32, clip search': await torch('--fast', '--weight-clip'),
};

const KINDS = ['seconds', 'cpuSeconds'];
const steps = Object.fromEntries(Object.keys(programs).map((name) => [name, []]));
for (const program of Object.values(programs)) await program.step();
for (let round = 0; round < Number(roundsText); round++) {
  for (const [name, program] of Object.entries(programs)) steps[name].push(await program.step());
}
for (const program of Object.values(programs)) program.stop();
rmSync(folder, { recursive: true });

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const digits = (value) => Number(value.toPrecision(3));
const perKind = (make) => Object.fromEntries(KINDS.map((kind) => [kind, make(kind)]));

function summary(name) {
  return perKind((kind) => {
    const all = steps[name].map((step) => step[kind]);
    return { least: digits(Math.min(...all)), median: digits(median(all)) };
  });
}

/** How many times longer than the product's own step of the same round. */
function timesTheProduct(name) {
  const own = steps[name.endsWith('clip search') ? 'product, clip search' : 'product'];
  return perKind((kind) => digits(median(steps[name].map((step, index) => step[kind] / own[index][kind]))));
}

const names = Object.keys(programs);
const peers = names.filter((name) => name.startsWith('torch'));
const result = {
  tokens: 8 * LENGTH,
  threads: THREADS,
  rounds: Number(roundsText),
  cpu: cpus()[0].model,
  runtime: programs.product.description,
  steps: Object.fromEntries(names.map((name) => [name, summary(name)])),
  timesTheProduct: Object.fromEntries(peers.map((name) => [name, timesTheProduct(name)])),
};
process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
