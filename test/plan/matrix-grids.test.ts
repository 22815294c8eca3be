/** What a method learns for its grids serves every cell, and lies in the run for later measurements. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Purpose, ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, loadExperiment, previewMatrix, runMatrix } from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { collectCells } from '../../src/runs/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const folder = oldRunsFolder();
const FILE = join(folder, 'grids.spinquant.json');
const VARIANTS = { variants: ['quantized'] } as const;
const SETTINGS = {
  rotation: { r1: 'none', r2: 'none', r3: false, r4: false },
  // As rows have it, also where the experiment is run alone.
  quantization: {
    weights: { method: 'omniquant', omniquant: { samples: 2, epochs: 1 } },
    keys: { offset: 'bias' },
  },
};
const MATRIX = {
  matrix: {
    bits: ['4-4-4'],
    methods: ['learned'],
    rows: [{ name: 'learned', like: 'rtn', settings: SETTINGS }],
  },
};

function write(maxWindows: number, more: object, purpose: Purpose = 'optimize'): Promise<ResolvedExperiment> {
  const perplexity = [{ name: 'stories', text: 'test.txt', sequenceLength: 32, maxWindows }];
  const calibration = { text: 'calibration.txt', samples: 4, sequenceLength: 32 };
  const own = { device: 'cpu', threads: 1, runs: 'grids-runs' };
  const text = { model: 'model', calibration, evaluation: { perplexity }, ...own, ...more };
  writeFileSync(FILE, JSON.stringify(text));
  return loadExperiment(FILE, purpose);
}

const phases = (events: readonly RunEvent[], name: string): number =>
  events.filter((event) => event.type === 'phase' && event.phase === name && event.state === 'started')
    .length;

test('a cell learns its grids once, also for other measurements, and as the experiment alone does', async () => {
  const first = await collect(runMatrix(await write(2, MATRIX), {}));
  // Learning, and rounding on what was learned.
  assert.equal(phases(first.events, 'round'), 2);
  const [, cell] = await collectCells(await write(2, MATRIX));
  const names = readdirSync(cell!.run!);
  assert.ok(names.includes('grids') && names.includes('rounded'), String(names));

  const preview = (await collect(previewMatrix(await write(1, MATRIX), {}))).result;
  const steps = preview.steps.filter(({ name }) => name === 'omniquant');
  assert.deepEqual(
    steps.map(({ kind, isThere, seconds }) => [kind, isThere, seconds !== null]),
    [
      ['transform', true, true],
      ['round', true, true],
    ],
  );
  const again = await collect(runMatrix(await write(1, MATRIX), {}));
  assert.equal(phases(again.events, 'round'), 0);
  assert.equal(phases(again.events, 'evaluate'), 2);

  const quantized = cell!.results!.perplexity[0]!.quantized;
  const experiment = await write(2, SETTINGS, 'evaluate');
  const alone = await collect(evaluateExperiment(experiment, VARIANTS));
  assert.equal(phases(alone.events, 'round'), 2);
  assert.equal(alone.result.perplexity[0]!.quantized, quantized);
  const kept = await collect(evaluateExperiment(experiment, { ...VARIANTS, runDir: cell!.run! }));
  assert.equal(phases(kept.events, 'round'), 0);
  assert.equal(kept.result.perplexity[0]!.quantized, quantized);
});
