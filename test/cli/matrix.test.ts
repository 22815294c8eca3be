/** A table in a terminal: plan, fill, print. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MATRIX_FILE, makeWorkspace } from '../crash/workspace.ts';
import { spinquant } from './spinquant.ts';

const folder = mkdtempSync(join(tmpdir(), 'spinquant-matrix-'));
const SMALL = 'small.spinquant.json';

before(async () => {
  await makeWorkspace(folder);
  const whole = JSON.parse(readFileSync(join(folder, MATRIX_FILE), 'utf8')) as object;
  const matrix = { bits: ['4-8-8'], methods: ['rtn', 'quip', 'hadamard-had-rtn'], seeds: [0, 1] };
  writeFileSync(join(folder, SMALL), JSON.stringify({ ...whole, matrix }));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('plan, optimize and table agree; a cell that cannot be computed is told at its line', async () => {
  const planned = await spinquant(['plan', SMALL], folder);
  assert.match(planned.stderr, /matrix\.methods\[1\]: QuIP# stays empty at 4-8-8: .* weights only/);
  assert.match(planned.stdout, /^perplexity +7 +0 +4 +~\d.* +~\d.* +~\d+\.\d MiB$/m);
  const filled = await spinquant(['optimize', SMALL], folder);
  assert.equal(filled.code, 0, filled.stderr);
  assert.match(filled.stderr, /\[5\/6\] 4-8-8 Random Hadamard R1–R4 \+ RTN, seed 0: is done|\[6\/6\]/);
  assert.match(filled.stdout, /^4-8-8 +Random Hadamard R1–R4 \+ RTN +\S+ ± \S+ \(2 seeds\)/m);
  const again = await spinquant(['plan', SMALL], folder);
  assert.match(again.stdout, /Nothing is left to run\./);
  const swept = await spinquant(['sweep', SMALL], folder);
  assert.match(swept.stdout, /^\d+ shared results are used by runs, .*\nThere is nothing to delete\.$/m);
  const table = await spinquant(['table', SMALL, '--format', 'markdown'], folder);
  assert.match(table.stdout, /^\| 4-8-8 \| RTN \| \*{0,2}\d+\.\d+\*{0,2} \| \*{0,2}\d+\.\d+\*{0,2} \|$/m);
  assert.match(table.stdout, /^- QuIP# at 4-8-8: .* weights only/m);
});

test('options that a table has no use for are refused', async () => {
  const seed = await spinquant(['optimize', SMALL, '--seed', '3'], folder);
  assert.equal(seed.code, 1);
  assert.match(seed.stderr, /is a matrix, whose seeds are in matrix\.seeds.*\n.*"seeds": \[3\]/);
  const resume = await spinquant(['optimize', SMALL, '--resume', 'x'], folder);
  assert.match(resume.stderr, /is a matrix: it goes on by itself/);
  const taken = await spinquant(['optimize', SMALL, '--cluster', '--take-over'], folder);
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /goes to a cluster, .*: --take-over would not be used/);
  const none = await spinquant(['table', 'gptq.spinquant.json'], folder);
  assert.match(none.stderr, /gptq\.spinquant\.json has no matrix/);
});
