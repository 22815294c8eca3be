/** Perplexity on products of whole numbers is that of the simulation, on every architecture that is read. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ResolvedExperiment, resolveExperiment } from '../../src/config/index.ts';
import { evaluateExperiment, generateText } from '../../src/engine/index.ts';
import { temporaryFolder } from '../formats/support.ts';
import { collect } from '../helpers/demo-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';
const MODELS = join(import.meta.dirname, '..', 'goldens', 'models');
const WORDS = 64;
/** W, A, KV; had or no_had; how weights are rounded. */
const SETTINGS = [
  [4, 8, 16, true, 'rtn'],
  [4, 8, 8, false, 'gptq'],
  [4, 4, 16, false, 'rtn'],
  [4, 4, 4, true, 'gptq'],
] as const;
type Setting = (typeof SETTINGS)[number];

/** A model of the goldens with a tokenizer of as many words as it knows, and texts that it wrote itself. */
async function subject(t: Parameters<typeof temporaryFolder>[0], name: string): Promise<string> {
  const folder = temporaryFolder(t);
  cpSync(join(MODELS, name), join(folder, 'model'), { recursive: true });
  const vocab = Object.fromEntries(Array.from({ length: WORDS }, (_, id) => [`w${id}`, id]));
  const tokenizer = {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab, unk_token: 'w0' },
  };
  writeFileSync(join(folder, 'model', 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'train.txt'), await textBy(join(folder, 'model'), 0, 4));
  writeFileSync(join(folder, 'test.txt'), await textBy(join(folder, 'model'), 4, 14));
  return folder;
}

/** Texts of 240 tokens, one for each seed from `first` before `end`. */
async function textBy(model: string, first: number, end: number): Promise<string> {
  const texts: string[] = [];
  for (let seed = first; seed < end; seed++) {
    const choice = { repetitionPenalty: 1, temperature: 1, topK: 0, topP: 1, minP: 0 };
    const prompt = { text: `w${seed + 2}`, chat: null };
    const form = { cacheBits: null, simulated: false, headBits: undefined };
    const request = { from: { model }, prompt, tokens: 240, choice, seed, stops: [], ...form };
    const writing = generateText(request, {});
    let next = await writing.next();
    while (!next.done) next = await writing.next();
    texts.push(next.value.ids.map((id) => `w${id}`).join(' '));
  }
  return texts.join(' ');
}

async function experimentOf(folder: string, setting: Setting): Promise<ResolvedExperiment> {
  const [weights, activations, cache, online, method] = setting;
  const path = join(folder, 'x.spinquant.json');
  const experiment = {
    model: 'model',
    threads: 1,
    calibration: { text: 'train.txt', sequenceLength: 64, samples: 4 },
    quantization: {
      weights: { bits: weights, method },
      activations: { bits: activations },
      // What the text chooses of keys is the subject of others.
      keys: { bits: cache, offset: 'bias' },
      values: { bits: cache },
    },
    rotation: { r1: 'hadamard', r2: 'hadamard', r3: online && cache < 16, r4: online },
    evaluation: { perplexity: [{ name: 'drawn', text: 'test.txt', sequenceLength: 64 }] },
  };
  writeFileSync(path, JSON.stringify(experiment));
  return resolveExperiment(path, 'evaluate');
}

async function perplexity(asked: ResolvedExperiment, integer: boolean): Promise<number> {
  const { result } = await collect(evaluateExperiment(asked, { variants: ['quantized'], integer }));
  return result.perplexity[0]!.quantized!;
}

for (const name of readdirSync(MODELS))
  test(`${name}: to 0.1 % of the simulation`, { skip }, async (t) => {
    const folder = await subject(t, name);
    for (const setting of SETTINGS) {
      const asked = await experimentOf(folder, setting);
      const [found, expected] = [await perplexity(asked, true), await perplexity(asked, false)];
      const what = `${setting}: ${found} for ${expected}`;
      t.diagnostic(what);
      // Codes at a border go to either side: their effect on a mean falls with the root of the tokens.
      assert.ok(Math.abs(found / expected - 1) <= 0.001, what);
    }
  });
