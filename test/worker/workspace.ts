/** A folder with a tiny model of random weights, a text and an experiment: what a person would open. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MODEL = fileURLToPath(new URL('../goldens/models/llama', import.meta.url));
/** One token a character; the model has 64 rows. */
const ALPHABET = ' abcdefghijklmnopqrstuvwxyz.,';

export interface Workspace {
  readonly folder: string;
  /** Absolute path of the experiment file. */
  readonly experiment: string;
  /** Writes another experiment beside it: the same but for these keys. */
  variant(name: string, settings: object): string;
}

interface Context {
  after(fn: () => void): void;
}

export function makeWorkspace(t: Context, learning: object = {}): Workspace {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-worker-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  cpSync(MODEL, join(folder, 'model'), { recursive: true });
  writeFileSync(join(folder, 'model', 'tokenizer.json'), JSON.stringify(tokenizer()));
  mkdirSync(join(folder, 'data'));
  writeFileSync(join(folder, 'data', 'train.txt'), story(4000));
  writeFileSync(join(folder, 'data', 'test.txt'), story(600));
  const settings = {
    model: 'model',
    calibration: { text: 'data/train.txt', samples: 32, sequenceLength: 32 },
    rotation: { learning: { steps: 3, batchSize: 4, ...learning } },
    evaluation: { perplexity: [{ name: 'story', text: 'data/test.txt', sequenceLength: 32 }] },
    threads: 1,
  };
  const variant = (name: string, changes: object) => {
    const path = join(folder, `${name}.spinquant.json`);
    writeFileSync(path, JSON.stringify({ ...settings, ...changes }, null, 2));
    return path;
  };
  return { folder, experiment: variant('tiny', {}), variant };
}

function tokenizer(): object {
  const vocab = Object.fromEntries([...ALPHABET].map((character, id) => [character, id]));
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', vocab, merges: [] },
  };
}

/** Words of a fixed vocabulary in an order that does not repeat soon. */
function story(length: number): string {
  const words = [
    'the',
    'fox',
    'sat',
    'by',
    'a',
    'river',
    'and',
    'saw',
    'moon,',
    'stars.',
    'it',
    'was',
    'cold',
  ];
  let state = 1;
  let text = '';
  while (text.length < length) {
    state = (state * 48271) % 2147483647;
    text += `${words[state % words.length]} `;
  }
  return text.slice(0, length);
}

export function readJson(...path: string[]): Record<string, unknown> {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as Record<string, unknown>;
}
