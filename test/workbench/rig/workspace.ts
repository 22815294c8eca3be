import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './rig.ts';

const DEMO = join(ROOT, 'examples', 'demo');

export interface TestWorkspace {
  readonly folder: string;
  write(name: string, contents: unknown): void;
  remove(): void;
}

/** A temporary folder with a model, texts and `quick.spinquant.json`: few steps, all of them real. */
export function createWorkspace(): TestWorkspace {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-lab-'));
  const write = (name: string, contents: unknown) =>
    writeFileSync(join(folder, name), `${JSON.stringify(contents, null, 2)}\n`);
  if (existsSync(join(DEMO, 'model', 'config.json')))
    cpSync(DEMO, folder, { recursive: true, filter: (path) => !path.includes('.spinquant/') });
  else writeTinyModel(folder, write);
  write('quick.spinquant.json', {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 16, sequenceLength: 64 },
    rotation: { learning: { steps: 30, batchSize: 2 } },
    evaluation: { perplexity: [{ name: 'held-out', text: 'test.txt', sequenceLength: 64, maxWindows: 4 }] },
  });
  return { folder, write, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

/** A random network that reads single characters. */
function writeTinyModel(folder: string, write: (name: string, contents: unknown) => void): void {
  const golden = join(ROOT, 'test', 'goldens', 'models', 'llama');
  mkdirSync(join(folder, 'model'));
  for (const name of ['config.json', 'model.safetensors'])
    copyFileSync(join(golden, name), join(folder, 'model', name));
  const characters = ' abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.';
  const vocab = Object.fromEntries([...characters].map((character, id) => [character, id]));
  write('model/tokenizer.json', {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: { type: 'BPE', vocab, merges: [] },
  });
  const text = 'The quick brown fox jumps over the lazy dog. ';
  writeFileSync(join(folder, 'calibration.txt'), text.repeat(100));
  writeFileSync(join(folder, 'test.txt'), text.repeat(20));
}
