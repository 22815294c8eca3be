/** The quality tables come from these experiments: the demo, and the shared stories models where present. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import { importLlama2c } from '../../src/engine/model/import-llama2c.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** This folder has llama2.c models and TinyStories text, which are not part of the project. */
const SHARED = join(ROOT, '..', 'shared', 'data');
const WORK = join(ROOT, 'build', 'quality');
/** Stories before this share of the text calibrate, those after it test. */
const CALIBRATION_SHARE = 0.85;

export interface Subject {
  readonly name: string;
  readonly experiment: ResolvedExperiment;
}

export async function subjects(wanted: readonly string[]): Promise<Subject[]> {
  const all = [
    { name: 'demo', open: demo },
    { name: 'stories260K', open: () => stories('stories260K', 'tok512.bin') },
    { name: 'stories3M', open: () => stories('stories3M-q80', 'tok4096.bin') },
  ];
  const chosen = all.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
  const found: Subject[] = [];
  for (const { name, open } of chosen) {
    const file = await open();
    if (file) found.push({ name, experiment: await resolveExperiment(file, 'optimize') });
    else console.error(`${name}: skipped, its model is not at hand`);
  }
  return found;
}

async function demo(): Promise<string> {
  return join(ROOT, 'examples', 'demo', 'quick.spinquant.json');
}

async function stories(name: string, tokenizer: string): Promise<string | null> {
  const source = join(SHARED, 'models', name);
  if (!existsSync(source)) return null;
  mkdirSync(WORK, { recursive: true });
  const model = join(WORK, name);
  if (!existsSync(model)) {
    await importLlama2c({
      checkpoint: join(source, `${name}.bin`),
      tokenizer: join(source, tokenizer),
      out: model,
    });
  }
  splitStories();
  const file = join(WORK, `${name}.spinquant.json`);
  const text = { sequenceLength: 256 };
  writeFileSync(
    file,
    JSON.stringify({
      model: name,
      calibration: { text: 'calibration.txt', ...text },
      // The published stories figures have this setting: round to nearest without clip search.
      quantization: { weights: { clip: false }, keys: { offset: 'bias' } },
      evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', ...text, maxWindows: 48 }] },
    }),
  );
  return file;
}

function splitStories(): void {
  const text = readFileSync(join(SHARED, 'text', 'tinystories', 'generated-by-stories3M.txt'), 'utf8');
  const cut = text.indexOf('\n', Math.floor(text.length * CALIBRATION_SHARE)) + 1;
  writeFileSync(join(WORK, 'calibration.txt'), text.slice(0, cut));
  writeFileSync(join(WORK, 'test.txt'), text.slice(cut));
}
