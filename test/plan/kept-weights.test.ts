/** A run writes with the weights that it rounded, without the text that they were rounded on. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { resolveExperiment } from '../../src/config/index.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import { generateText, optimizeRotation } from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { GenerationEvent } from '../../src/protocol/generation.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const COMPOSED = { kernels: 'composed' } as const;
const folder = oldRunsFolder();
const TEXT = join(folder, 'calibration.txt');

/** What a run writes, and the phases that it went through. */
async function written(run: string): Promise<{ readonly text: string; readonly phases: Set<string> }> {
  const request = {
    ...{ from: { run }, prompt: { text: 'once upon', chat: null }, tokens: 8, choice: MOST_LIKELY },
    ...{ seed: 0, stops: [], cacheBits: null, simulated: true },
  };
  const writing = generateText(request, COMPOSED);
  const phases = new Set<string>();
  for (;;) {
    const next = await writing.next();
    if (next.done) return { text: next.value.text, phases };
    const event: RunEvent | GenerationEvent = next.value;
    if (event.type === 'phase') phases.add(event.phase);
  }
}

const experiment = await resolveExperiment(join(folder, 'gptq.spinquant.json'), 'optimize');
const RUN = (await collect(optimizeRotation(experiment, COMPOSED))).result.run;

function copyOfRun(name: string): string {
  const copy = join(dirname(RUN), name);
  cpSync(RUN, copy, { recursive: true });
  return copy;
}

/** As versions before this one wrote it: its name is another one, of as many bytes. */
function hideText(layer: string): void {
  const bytes = readFileSync(layer, 'latin1');
  assert.match(bytes, /"text":"[0-9a-f]{64}"/);
  writeFileSync(layer, bytes.replace('"text":"', '"none":"'), 'latin1');
}

test('the text of kept weights may be gone; where they do not tell it, it is read', async () => {
  const run = copyOfRun('without-text');
  const calibration = readFileSync(TEXT);
  rmSync(TEXT);
  const found = await written(run);
  assert.deepEqual(
    ['scan', 'tokenize', 'round'].filter((phase) => found.phases.has(phase)),
    [],
  );
  hideText(join(run, 'rounded', 'layer-0000.safetensors'));
  await assert.rejects(written(run), /calibration\.txt/);
  writeFileSync(TEXT, calibration);
  const read = await written(run);
  assert.ok(read.phases.has('tokenize') && !read.phases.has('round'));
  assert.equal(read.text, found.text);
});

test('weights of another setting, or damaged ones, are made again from the text', async () => {
  for (const change of ['grid', 'layer'] as const) {
    const run = copyOfRun(`other-${change}`);
    if (change === 'layer') writeFileSync(join(run, 'rounded', 'layer-0001.safetensors'), 'cut');
    else {
      const file = join(run, 'experiment.json');
      const experiment = JSON.parse(readFileSync(file, 'utf8')) as {
        quantization: { weights: { clip: boolean } };
      };
      experiment.quantization.weights.clip = !experiment.quantization.weights.clip;
      writeFileSync(file, JSON.stringify(experiment));
    }
    const { phases } = await written(run);
    assert.ok(phases.has('tokenize') && phases.has('round'), change);
  }
});
