/** The demo on the disk. Knows nothing of the editor. */
import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { experimentText } from '../experiments/presets.ts';

/** Name of its folder. */
export const DEMO_FOLDER = 'spinquant-demo';

const EXPERIMENT = 'demo.spinquant.json';
const SOURCES = ['model', 'calibration.txt', 'test.txt'];
/** Positions that its model was made for. */
const POSITIONS = 512;

/** Strings of an explanation, line by line. */
const INTRODUCTION = [
  'A small model that writes stories for children, at 4 bits: weights, activations, keys and values.',
  'Press "Optimize rotation" above "model". The curve shows how far its outliers still stick out.',
  'Then press "No rotation" above "evaluation": that is what 4 bits alone make of it.',
];

/**
 * Copies the demo into a folder, and makes its experiment. What is there stays as it is.
 * @param extensionPath the folder of the product.
 * @returns absolute path of the experiment.
 */
export async function placeDemo(extensionPath: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const demo = join(extensionPath, 'examples', 'demo');
  for (const name of SOURCES)
    await cp(join(demo, name), join(folder, name), { recursive: true, force: false });
  const file = join(folder, EXPERIMENT);
  if (!existsSync(file)) await writeFile(file, demoText());
  return file;
}

function demoText(): string {
  const comment = INTRODUCTION.map((line) => `// ${line}\n`).join('');
  const sources = { model: 'model', train: 'calibration.txt', test: 'test.txt', maxPositions: POSITIONS };
  return comment + experimentText({ ...sources, preset: 'quick' });
}
