/** The table of a matrix and its pictures, in a browser. */
import assert from 'node:assert/strict';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import type { MatrixPart } from '../../src/protocol/panels/matrix.ts';
import type { ResultsState } from '../../src/protocol/panels/results.ts';
import { browserFor, drawn, type OpenOptions, THEME_NAMES } from './harness.ts';
import { matrixOf, resultsOf } from './states.ts';

const PROGRESS = 'cell 55 of 60: 4-4-4 SpinQuant had + GPTQ · window 3/141';

let file: string;
let matrix: MatrixPart;
let state: ResultsState;

const browser = browserFor(async (started) => {
  const folder = await started.runsFolder();
  file = makeMatrix(folder);
  matrix = await matrixOf(file, folder, { progress: PROGRESS });
  state = await resultsOf([], [], [], matrix);
});
const opened = (options?: OpenOptions) => browser.show('results', state, options);

drawn('screenshots of the table and its pictures in every theme', async () => {
  for (const theme of THEME_NAMES) {
    const panel = await opened({ theme, width: 1000 });
    await panel.screenshot(`results-matrix-${theme}`);
    await panel.end();
  }
});
