/** R2 of each key/value head through whole jobs: learned by every kind of objective, kept, read again, exported. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, exportRun, optimizeRotation } from '../../src/engine/index.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { openRun, type ResultsFile } from '../../src/runs/index.ts';
import { collect, demoFolder, type Learning, shortExperiment } from '../helpers/demo-runs.ts';

const folder = demoFolder();
const [LAYERS, HEADS, WIDTH] = [5, 2, 32];

const experiment = (learning: Learning, rotation: Partial<ResolvedExperiment['rotation']> = {}) =>
  shortExperiment(folder, {
    learning,
    rotation: { r2Per: 'kv-head', start: 'hadamard', ...rotation },
    weights: { method: 'rtn' },
  });

const LEARNT: Readonly<Record<string, Learning>> = {
  'the soft peak': { objective: 'peak', optimizer: 'lie-adam', learningRate: 0.02 },
  'turns by Procrustes': { objective: 'procrustes', steps: 2 },
};

for (const [name, learning] of Object.entries(LEARNT)) {
  test(`${name} learns a rotation of each head, which a file gives back`, async () => {
    const asked = await experiment(learning);
    const { result } = await collect(optimizeRotation(asked, {}));
    const { tensors } = readSafetensorsHeader(join(result.run, 'rotations.safetensors'));
    const found = [toFloat32(tensors.get('R1')!)];
    for (let layer = 0; layer < LAYERS; layer++) {
      const tensor = tensors.get(`R2.${layer}`)!;
      assert.deepEqual(tensor.dims, [HEADS, WIDTH, WIDTH]);
      const numbers = toFloat32(tensor);
      const each = [0, 1].map((head) => numbers.slice(head * WIDTH ** 2, (head + 1) * WIDTH ** 2));
      found.push(...each);
      assert.ok(each[0]!.some((value, i) => Math.abs(value - each[1]![i]!) > 0.1));
    }
    const run = await openRun(result.run);
    checkErrors(found, await run.readResults());
    for (const event of await run.readEvents())
      if (event.type === 'step') assert.ok(event.distanceFromStart.r2! > 0, 'R2 moves');
    const again = await collect(evaluateExperiment(asked, { rotations: result.run }));
    assert.deepEqual(again.result.perplexity, result.perplexity);
    await refuses(result.run);
  });
}

/** Results have the largest errors of products with the transposed on either side, here by loops in float64. */
function checkErrors(found: readonly Float32Array[], results: ResultsFile): void {
  const { orthogonalityError: columns, rowOrthogonalityError: rows } = results;
  const errors = [true, false].map((isOfColumns) => Math.max(...found.map((r) => gap(r, isOfColumns))));
  // Sums of n products of numbers up to 1 are off by n roundings at most.
  const bound = 128 * 2 ** -53;
  assert.ok(Math.abs(errors[0]! - columns!) <= bound && Math.abs(errors[1]! - rows!) <= bound, `${errors}`);
  assert.ok(columns! > 0 && rows! > 0 && columns! < 1e-6 && rows! < 1e-6);
  assert.notEqual(columns, rows);
}

/** max |RᵀR − I|, or max |RRᵀ − I|. */
function gap(r: Float32Array, isOfColumns: boolean): number {
  const n = Math.sqrt(r.length);
  const at = (line: number, k: number): number => (isOfColumns ? r[k * n + line]! : r[line * n + k]!);
  let largest = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let sum = i === j ? -1 : 0;
      for (let k = 0; k < n; k++) sum += at(i, k) * at(j, k);
      largest = Math.max(largest, Math.abs(sum));
    }
  return largest;
}

/** What cannot hold them, or asks for others, is said. */
async function refuses(run: string): Promise<void> {
  await assert.rejects(exportRun(run, 'rbin', join(folder, 'R.bin')), {
    code: 'rotation/per-head',
    message: /one R2 for each layer; here each of 2 key\/value heads has its own/,
  });
  const out = join(folder, 'R.safetensors');
  const names = await exportRun(run, 'safetensors', out);
  assert.ok(names.includes('R2.4'));
  const shared = await experiment({}, { r2Per: 'layer' });
  await assert.rejects(collect(evaluateExperiment(shared, { rotations: out })), {
    code: 'rotation/per-head',
    message: /R2\.0 has an R2 for each of 2 key\/value heads; the experiment asks for one R2 for all heads/,
  });
}

test('cross-entropy learns them, too, and a run that was stopped goes on to the same bits', async () => {
  const asked = await experiment({ optimizer: 'lie-adam', learningRate: 0.02, weightClipEvery: 3, steps: 3 });
  const bytes = (run: string) => readFileSync(join(run, 'rotations.safetensors'));
  const whole = await collect(optimizeRotation(asked, {}));
  const controller = new AbortController();
  let dir = '';
  const stopped = async () => {
    for await (const event of optimizeRotation(asked, { signal: controller.signal })) {
      if (event.type === 'run-started') dir = event.run!;
      if (event.type === 'step' && event.step === 2) setTimeout(() => controller.abort(), 5);
    }
  };
  await assert.rejects(stopped, Cancelled);
  const resumed = await collect(optimizeRotation(asked, { resumeFrom: dir }));
  assert.deepEqual(bytes(resumed.result.run), bytes(whole.result.run));
});
