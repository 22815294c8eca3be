/** Training in a plan: its steps, what they share, and models that are too large for it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseExperiment, type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { checkAgainstModel } from '../../src/engine/plan/check/check-model.ts';
import { describePlan, stepsOf } from '../../src/engine/plan/describe-plan.ts';
import { trainingMemory } from '../../src/engine/plan/training-memory.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

const LLAMA_3_8B: ModelConfig = {
  ...TINY_CONFIG,
  ...{ hiddenSize: 4096, intermediateSize: 14336, layers: 32, heads: 32, kvHeads: 8, headDim: 128 },
  ...{ vocabSize: 128_256, maxPositions: 8192, attentionBias: false, outputBias: false, mlpBias: false },
  ...{ qkNorm: false, layerWindows: Array.from({ length: 32 }, () => null) },
};

const TRAINED = {
  model: 'm',
  rotation: { r1: 'none', r2: 'none', r3: false, r4: false },
  training: { method: 'llm-qat' },
};

function experimentOf(settings: object) {
  const { experiment } = parseExperiment(JSON.stringify({ ...TRAINED, ...settings }), 'x');
  assert.ok(experiment);
  return experiment;
}

function faultOf(settings: object, machine: number): UserError {
  try {
    trainingMemory(experimentOf(settings), LLAMA_3_8B, machine);
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  assert.fail('it fits');
}

test('LLaMA-3-8B is refused with the number, and trained where there is as much', () => {
  const fault = faultOf({}, 64e9);
  assert.equal(fault.code, 'training/memory');
  // 8,030,261,248 numbers of 16 bytes.
  assert.match(fault.message, /LLM-QAT needs \d+\.\d GB .*: 128\.5 GB for its 8\.03 billion weights/);
  assert.match(fault.message, /This machine has 64\.0 GB\./);
  assert.match(faultOf({ memoryLimit: 100 }, 256e9).message, /memoryLimit is 100\.0 GB\./);
  assert.ok(trainingMemory(experimentOf({}), LLAMA_3_8B, 256e9).tokensAtOnce >= 2048);
});

test('text whose keys and values do not fit is refused with their number', () => {
  // 128 sequences of 1024 tokens, of which each has 2 layers · 2 heads · 4 channels, twice, of 4 bytes.
  const calibration = { sequenceLength: 1024 };
  assert.throws(
    () => trainingMemory(experimentOf({ calibration, memoryLimit: 0.25 }), TINY_CONFIG),
    (error: UserError) =>
      error.code === 'training/memory' &&
      /writes its text: 0\.017 GB for keys and values of 128 sequences of 1024 tokens\. memoryLimit is 0\.250 GB/.test(
        error.message,
      ),
  );
  assert.ok(trainingMemory(experimentOf({ calibration, memoryLimit: 0.26 }), TINY_CONFIG));
  assert.ok(
    trainingMemory(experimentOf({ memoryLimit: 0.25, calibration: { sequenceLength: 256 } }), TINY_CONFIG),
  );
});

test('a memoryLimit that training does not fit into is a fault at its line, before anything runs', async () => {
  const { experiment: file } = await trainedExperiment();
  const text = JSON.stringify({
    ...TRAINED,
    model: file.model,
    calibration: { sequenceLength: 32 },
    memoryLimit: 0.01,
  });
  const parsed = parseExperiment(text, file.source.file, 'edit');
  const codesOf = async (purpose: 'evaluate' | 'inspect') => {
    const { faults } = await checkAgainstModel(parsed, file.source.file, purpose);
    return faults.map(({ code, path }) => `${code} ${path.join('.')}`);
  };
  assert.ok((await codesOf('evaluate')).includes('training/memory memoryLimit'));
  assert.ok(!(await codesOf('inspect')).includes('training/memory memoryLimit'));
});

test('text is written once for all bits; weights are trained for each, whichever way they are rounded then', async () => {
  const { experiment } = await trainedExperiment();
  const described = await describePlan(experiment, 'evaluate');
  assert.deepEqual(
    described.map(({ kind, name }) => `${kind} ${name}`),
    [
      ...['transform given', 'text scan', 'text evaluation', 'train written', 'train llm-qat'],
      'measure perplexity',
    ],
  );
  const specs = async (change: (experiment: ResolvedExperiment) => void) => {
    const changed = structuredClone(experiment);
    change(changed);
    const steps = await stepsOf(changed, 'evaluate');
    return ['written', 'llm-qat'].map((wanted) =>
      JSON.stringify(steps.find(({ name }) => name === wanted)?.spec()),
    );
  };
  const [written, trained] = await specs(() => undefined);
  const [sameText, otherBits] = await specs((changed) => (changed.quantization.weights.bits = 3));
  assert.equal(sameText, written);
  assert.notEqual(otherBits, trained);
  const compensated = await specs((changed) => (changed.quantization.weights.method = 'gptq'));
  assert.deepEqual(compensated, [written, trained]);
  const [otherText] = await specs((changed) => (changed.calibration.seed = 9));
  assert.notEqual(otherText, written);
});

/** On the model of the demo runs. */
async function trainedExperiment(): Promise<{ experiment: ResolvedExperiment }> {
  const { model, evaluation } = await resolveExperiment(join(oldRunsFolder(), 'gptq.spinquant.json'));
  const folder = mkdtempSync(join(tmpdir(), 'training-'));
  const file = join(folder, 'x.spinquant.json');
  writeFileSync(file, JSON.stringify({ ...TRAINED, model, evaluation }));
  try {
    return { experiment: await resolveExperiment(file, 'evaluate') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
