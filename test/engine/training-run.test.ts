/** What training adds to a measurement: text, weights that the quantized network reads, and their use by later ones. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { listRuns } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';

const folder = demoFolder();
const SAMPLES = 3;
const STEPS = 2;

async function experiment(method: 'none' | 'llm-qat'): Promise<ResolvedExperiment> {
  const maps = { r1: 'none', r2: 'none', r3: false, r4: false } as const;
  const short = await shortExperiment(folder, { rotation: maps, weights: { method: 'rtn' } });
  const options = { samples: SAMPLES, steps: STEPS, learningRate: 1e-3, batchSize: 2 };
  const { seed, ...calibration } = short.calibration;
  return {
    ...short,
    calibration: { ...calibration, seed, text: [], sequenceLength: 16 },
    training: { method, 'llm-qat': options },
  };
}

const progress = (events: readonly RunEvent[]) =>
  events.flatMap((event) =>
    event.type === 'training-progress' ? [`${event.work} ${event.done}/${event.of}`] : [],
  );

test('the quantized network alone reads trained weights, which serve again', async () => {
  const asked = await experiment('llm-qat');
  const { result: untrained } = await collect(evaluateExperiment(await experiment('none'), {}));
  const { events, result: trained } = await collect(evaluateExperiment(asked, {}));
  assert.deepEqual(progress(events).slice(-STEPS - 1), ['generate 3/3', 'train 1/2', 'train 2/2']);
  const [before, after] = [untrained.perplexity[0]!, trained.perplexity[0]!];
  assert.equal(after.fullPrecision, before.fullPrecision);
  assert.notEqual(after.quantized, before.quantized);
  const again = await collect(evaluateExperiment(asked, {}));
  assert.deepEqual(progress(again.events), ['generate 3/3'], 'text is read again, nothing is trained');
  assert.equal(again.result.perplexity[0]!.quantized, after.quantized);
  const { quantization } = asked;
  const weights = { ...quantization.weights, bits: 3 as const };
  const other = await collect(
    evaluateExperiment({ ...asked, quantization: { ...quantization, weights } }, { variants: ['quantized'] }),
  );
  assert.deepEqual(progress(other.events), ['generate 3/3', 'train 1/2', 'train 2/2']);
  const kept = readdirSync(join(asked.runs, '.trained')).map((key) =>
    readdirSync(join(asked.runs, '.trained', key)),
  );
  assert.deepEqual(kept.flat().sort(), ['model.safetensors', 'model.safetensors', 'part-0000.safetensors']);
  assert.deepEqual((await listRuns(asked.runs)).runs, [], 'they are no runs');
});
