/** An experiment from its file to its tables, in the terminal, on a tiny trained-from-nothing LLaMA. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { EvaluateResult, OptimizeResult } from '../../src/engine/index.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { openRun, RUN_FILES } from '../../src/runs/index.ts';
import { spinquant } from './spinquant.ts';

const GOLDEN = fileURLToPath(new URL('../goldens/models/llama', import.meta.url));
const CHARACTERS = ' abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.';
const STEPS = 12;

const workspace = mkdtempSync(join(tmpdir(), 'spinquant-experiment-'));
after(() => rmSync(workspace, { recursive: true }));
writeModel(join(workspace, 'model'));
writeFileSync(join(workspace, 'train.txt'), someText(4000, 1));
writeFileSync(join(workspace, 'test.txt'), someText(400, 2));
writeExperiment('tiny.spinquant.json', STEPS);

function writeModel(dir: string): void {
  mkdirSync(dir);
  for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(GOLDEN, name), join(dir, name));
  const vocab = Object.fromEntries([...CHARACTERS].map((character, id) => [character, id]));
  const tokenizer = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: { type: 'BPE', vocab, merges: [] },
  };
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
}

function someText(length: number, seed: number): string {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return CHARACTERS[state >>> 26]!;
  };
  return Array.from({ length }, next).join('');
}

function writeExperiment(name: string, steps: number, changes: object = {}): void {
  const experiment = {
    model: 'model',
    calibration: { text: 'train.txt', samples: 16, sequenceLength: 32 },
    rotation: { learning: { steps, batchSize: 2 } },
    evaluation: { perplexity: [{ name: 'tiny', text: 'test.txt', sequenceLength: 32, maxWindows: 4 }] },
    threads: 1,
    ...changes,
  };
  writeFileSync(join(workspace, name), JSON.stringify(experiment));
}

async function optimize(name: string, ...flags: string[]): Promise<OptimizeResult> {
  const { code, stdout, stderr } = await spinquant(['optimize', name, '--json', ...flags], workspace);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as OptimizeResult;
}

function rotationsOf(run: string): Record<string, number[]> {
  const { tensors } = readSafetensorsHeader(join(run, RUN_FILES.rotations));
  return Object.fromEntries([...tensors].map(([name, tensor]) => [name, [...toFloat32(tensor)]]));
}

/** Sends a signal once the newest run has come so far. */
function when(isFar: (run: string) => boolean, signal: NodeJS.Signals) {
  const runs = join(workspace, '.spinquant', 'runs');
  const before = new Set(existsSync(runs) ? readdirSync(runs) : []);
  return (child: ChildProcess) => {
    const timer = setInterval(() => {
      const fresh = existsSync(runs) ? readdirSync(runs).find((name) => !before.has(name)) : undefined;
      if (fresh === undefined || !isFar(join(runs, fresh))) return;
      clearInterval(timer);
      child.kill(signal);
    }, 5);
    child.on('close', () => clearInterval(timer));
  };
}

/** Once the newest run has done this many steps. */
function whenSteps(steps: number, signal: NodeJS.Signals) {
  return when((run) => {
    const events = join(run, RUN_FILES.events);
    return existsSync(events) && readFileSync(events, 'utf8').split('"type":"checkpoint"').length > steps;
  }, signal);
}

test('optimize leaves a whole run behind; evaluate, runs and resume agree with it', async () => {
  const result = await optimize('tiny.spinquant.json');
  assert.equal(result.steps, STEPS);
  assert.ok(Number.isFinite(result.loss.first) && Number.isFinite(result.loss.last));
  // Entries of RᵀR are sums of 32 products: rounding a rotation to float32 moves them by at most about √32 · 2⁻²⁴.
  assert.ok(result.orthogonalityError < Math.sqrt(32) * 2 ** -22, String(result.orthogonalityError));
  const [tiny] = result.perplexity;
  assert.equal(tiny?.windows, 4);
  assert.equal(tiny.tokens, 4 * 31);

  const run = await openRun(result.run);
  assert.equal(run.record.status, 'finished');
  assert.match(run.record.provenance?.model.sha256 ?? '', /^[0-9a-f]{64}$/);
  const steps = (await run.readEvents()).filter((event) => event.type === 'step');
  assert.deepEqual(
    steps.map((event) => event.step),
    Array.from({ length: STEPS }, (_, index) => index + 1),
  );
  assert.deepEqual((await run.readResults()).perplexity, result.perplexity);
  assert.equal((await run.readActivations()).sites.length, 2 * 7);

  const again = await spinquant(
    ['evaluate', 'tiny.spinquant.json', '--rotations', result.run, '--json'],
    workspace,
  );
  assert.deepEqual((JSON.parse(again.stdout) as EvaluateResult).perplexity, result.perplexity);
  const resumed = await spinquant(['optimize', 'tiny.spinquant.json', '--resume', result.run], workspace);
  assert.equal(resumed.code, 1);
  assert.match(resumed.stderr, /is finished/);
});

test('a run that is killed resumes to the same bits', async () => {
  writeExperiment('long.spinquant.json', 60);
  const whole = await optimize('long.spinquant.json');
  const killed = await spinquant(['optimize', 'long.spinquant.json'], workspace, whenSteps(3, 'SIGKILL'));
  assert.equal(killed.code, null, 'it was killed, it did not end');
  const { stdout } = await spinquant(['runs', '--json'], workspace);
  const [newest] = (JSON.parse(stdout) as { runs: { dir: string; status: string }[] }).runs;
  assert.equal(newest?.status, 'interrupted');
  const resumed = await optimize('long.spinquant.json', '--resume');
  assert.equal(resumed.run, newest.dir);
  assert.deepEqual({ ...resumed, run: '' }, { ...whole, run: '' });
  assert.deepEqual(rotationsOf(resumed.run), rotationsOf(whole.run));
  const events = await (await openRun(resumed.run)).readEvents();
  const starts = events.filter((event) => event.type === 'run-started');
  assert.ok(starts.at(-1)!.resumedFromStep >= 3);
  assert.deepEqual(
    events.filter((event) => event.type === 'step').map((event) => event.step),
    Array.from({ length: 60 }, (_, index) => index + 1),
  );
});

test('a run that is killed while GPTQ rounds its weights resumes to the same bits', async () => {
  // Enough text that a layer takes longer than to notice that the one before is done.
  writeFileSync(join(workspace, 'long.txt'), someText(48_000, 3));
  const name = 'gptq.spinquant.json';
  writeExperiment(name, 200, {
    calibration: { text: 'long.txt', samples: 1500, sequenceLength: 32 },
    quantization: { weights: { method: 'gptq', gptq: { samples: 1500 } } },
    rotation: { learning: { objective: 'peak' } },
  });
  const whole = await optimize(name);
  const firstLayer = (run: string) => existsSync(join(run, RUN_FILES.rounded, 'layer-0000.safetensors'));
  const killed = await spinquant(['optimize', name], workspace, when(firstLayer, 'SIGKILL'));
  assert.equal(killed.code, null, 'it was killed, it did not end');
  const resumed = await optimize(name, '--resume');
  assert.notEqual(resumed.run, whole.run);
  assert.deepEqual({ ...resumed, run: '' }, { ...whole, run: '' });
  assert.deepEqual(weightsOf(resumed.run), weightsOf(whole.run));
  const { stderr } = await spinquant(['evaluate', name, '--rotations', resumed.run], workspace);
  assert.doesNotMatch(stderr, /Rounding/, 'a measurement takes the weights of the run');
});

/** Names of the files of rounded weights, with what they hold. */
function weightsOf(run: string): [string, string][] {
  const folder = join(run, RUN_FILES.rounded);
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const { tensors } = readSafetensorsHeader(join(folder, name));
      return [name, JSON.stringify([...tensors].map(([key, tensor]) => [key, [...toFloat32(tensor)]]))];
    });
}

test('Ctrl-C ends a run in order, with exit code 130', async () => {
  writeExperiment('stopped.spinquant.json', 5000);
  const flags = ['optimize', 'stopped.spinquant.json', '--json'];
  const { code, stdout, stderr } = await spinquant(flags, workspace, whenSteps(2, 'SIGINT'));
  assert.equal(code, 130, stderr);
  assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, 'cancelled');
  const { runs } = JSON.parse((await spinquant(['runs', '--json'], workspace)).stdout) as {
    runs: { status: string }[];
  };
  assert.equal(runs[0]?.status, 'cancelled');
});

/** Sends Ctrl-C when a text appears on stderr, and once more well after the person has read the answer to the first. */
function pressTwiceAfter(text: string, seen: { readonly leftAfterMs: number[] }) {
  return (child: ChildProcess) => {
    let stderr = '';
    let pressedAt = 0;
    child.stderr!.on('data', (chunk) => {
      const wasThere = stderr.includes(text);
      stderr += chunk;
      if (wasThere || !stderr.includes(text)) return;
      setTimeout(() => child.kill('SIGINT'), 200);
      setTimeout(() => {
        pressedAt = performance.now();
        child.kill('SIGINT');
      }, 800);
    });
    // Against hanging.
    const killer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.on('exit', () => clearTimeout(killer));
    child.on('exit', () => seen.leftAfterMs.push(performance.now() - pressedAt));
  };
}

test('a second Ctrl-C leaves at once, whatever hangs, and corrupts nothing', {
  skip: process.platform === 'win32' && 'needs named pipes',
}, async () => {
  writeExperiment('twice.spinquant.json', 200);
  const whole = await optimize('twice.spinquant.json');
  await spinquant(['optimize', 'twice.spinquant.json'], workspace, whenSteps(3, 'SIGINT'));
  // A text that never ends to come: no signal reaches the thread that waits for it.
  const pipe = join(workspace, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const seen = { leftAfterMs: [] as number[] };
  const left = await spinquant(
    ['optimize', 'twice.spinquant.json', '--resume', '--json'],
    workspace,
    pressTwiceAfter('Scanning the weights (', seen),
    {
      NODE_OPTIONS: `--import=${new URL('hanging-open.mjs', import.meta.url).href}`,
      HANGS_AT: join(workspace, 'train.txt'),
      HANGS_ON: pipe,
    },
  );
  assert.equal(left.signal, 'SIGINT', left.stderr);
  assert.match(
    left.stderr,
    /Stopping\. Press Ctrl-C again to leave at once\.\n(.*\n)*Left at once\. .*--resume\.\n$/,
  );
  assert.equal((JSON.parse(left.stdout) as { error: { code: string } }).error.code, 'cancelled');
  assert.ok(seen.leftAfterMs[0]! < 1000, `${seen.leftAfterMs[0]} ms`);

  const [newest] = (
    JSON.parse((await spinquant(['runs', '--json'], workspace)).stdout) as {
      runs: { dir: string; status: string }[];
    }
  ).runs;
  assert.equal(newest?.status, 'interrupted');
  assert.deepEqual(
    readdirSync(newest.dir).filter((name) => name.endsWith('.tmp')),
    [],
  );
  const resumed = await optimize('twice.spinquant.json', '--resume');
  assert.equal(resumed.run, newest.dir);
  assert.deepEqual({ ...resumed, run: '' }, { ...whole, run: '' });
  assert.deepEqual(rotationsOf(resumed.run), rotationsOf(whole.run));
});

test('what a model claims and its tensors deny is told once, and kept in the run', async () => {
  writeModel(join(workspace, 'claims'));
  const config = join(workspace, 'claims', 'config.json');
  const settings = JSON.parse(readFileSync(config, 'utf8')) as object;
  const quantization_config = { quant_method: 'bitsandbytes' };
  writeFileSync(config, JSON.stringify({ ...settings, tie_word_embeddings: true, quantization_config }));
  writeExperiment('claims.spinquant.json', 1, { model: 'claims', runs: 'claims-runs' });
  const { code, stdout, stderr } = await spinquant(
    ['optimize', 'claims.spinquant.json', '--json'],
    workspace,
  );
  assert.equal(code, 0, stderr);
  const { run } = JSON.parse(stdout) as OptimizeResult;
  const warnings = (await (await openRun(run)).readEvents()).filter(({ type }) => type === 'warning');
  const inspected = await spinquant(['inspect', 'claims'], workspace);
  for (const words of ['tie_word_embeddings": true', 'bitsandbytes']) {
    assert.equal(stderr.split(words).length, 2, stderr);
    assert.equal(JSON.stringify(warnings).replaceAll('\\', '').split(words).length, 2, words);
    assert.equal(inspected.stderr.split(words).length, 2, inspected.stderr);
  }
});
