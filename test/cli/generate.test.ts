/** spinquant generate, as a person runs it: models and runs, bad input, Ctrl-C. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { createColors } from 'picocolors';
import { generate } from '../../src/cli/commands/generate.ts';
import { collectStop, parseCache, parseHeadBits, parseWhole, SHARE } from '../../src/cli/option-values.ts';
import type { Output } from '../../src/cli/output.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import {
  findWriter,
  type GenerateRequest,
  type GenerateResult,
  generateText,
  importModel,
} from '../../src/engine/index.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { GenerationEvent } from '../../src/protocol/generation.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { editJson } from '../model/goldens.ts';
import { spinquant } from './spinquant.ts';

const folder = oldRunsFolder();
const MODEL = join(folder, 'model');
const RUN = '20261128T151219Z-gptq';
const COMPOSED = ['--kernels', 'composed'];

test('a model and a run write the same text as JSON and as it comes', async () => {
  const asked = ['--prompt', 'once upon', '--tokens', '30', ...COMPOSED];
  const [json, text, run] = await Promise.all([
    spinquant(['generate', 'model', ...asked, '--json'], folder),
    spinquant(['generate', 'model', ...asked], folder),
    spinquant(['generate', join('runs', RUN), ...asked, '--json'], folder),
  ]);
  for (const { code, stderr } of [json, text, run]) assert.equal(code, 0, stderr);
  const found = JSON.parse(json.stdout) as GenerateResult;
  assert.equal(found.ids.length, 30);
  assert.equal(text.stdout, `${found.text}\n`);
  assert.match(text.stderr, /\n30 tokens: as many tokens as asked for · prompt of 9 tokens in \S+ s · /);
  const { model, bits, promptIds, cacheBytes, device } = found;
  assert.deepEqual([model, found.run, bits], [join(folder, 'model'), null, 'W16A16KV16']);
  assert.equal(promptIds.length, 9);
  // Two layers, two key/value heads of 16 channels, keys and values, float32.
  assert.equal(cacheBytes, 39 * 2 * 2 * 16 * 2 * 4);
  assert.equal(device.kind, 'cpu');
  const quantized = JSON.parse(run.stdout) as GenerateResult;
  assert.deepEqual([quantized.run, quantized.bits], [join(folder, 'runs', RUN), 'W4A4KV4']);
  assert.deepEqual(quantized.promptIds, promptIds);
  assert.doesNotMatch(run.stderr, /GPTQ: layer/, 'the rounded weights of the run serve');
});

test('a run has a name among the runs of a folder', async () => {
  const runs = join(folder, 'runs');
  assert.deepEqual(await findWriter(RUN, runs), { run: join(runs, RUN) });
  assert.deepEqual(await findWriter(join(runs, RUN), folder), { run: join(runs, RUN) });
  assert.deepEqual(await findWriter(MODEL, folder), { model: MODEL });
});

/** What a command says, for as long as it does not print it. */
function silent(): Output {
  const nothing = () => {};
  const said = { result: nothing, stream: () => true, document: nothing, note: nothing, warn: nothing };
  return { json: true, colors: createColors(false), live: false, columns: 80, status: nothing, ...said };
}

type Flags = Partial<Parameters<typeof generate>[1]>;
const refused: readonly (readonly [named: string, flags: Flags, code: string, message: RegExp])[] = [
  ['nowhere', {}, 'generate/no-writer', /There is no nowhere, and no run of that name in/],
  [
    join(folder, 'gptq.spinquant.json'),
    {},
    'generate/no-writer',
    /is a file, neither a model folder nor a run/,
  ],
  [join(folder, 'runs'), {}, 'model/no-config', /runs is not a Hugging Face model folder/],
  ['nobody/has-this-model', {}, 'hub/not-downloaded', /nobody\/has-this-model is not in the cache/],
  [join(folder, 'runs', '20261128T151300Z-learned'), {}, 'rotation/none-in-run', /it did not end/],
  [MODEL, { topK: 5 }, 'cli/not-used', /At temperature 0 .* --top-k would not be used/],
  [MODEL, { seed: 5, temperature: 0 }, 'cli/not-used', /--seed would not be used/],
  [MODEL, { system: 'Be kind.' }, 'cli/not-used', /There is no --chat: --system would not be used/],
  [MODEL, { prompt: 'a\ufffdb' }, 'cli/not-utf8', /--prompt has bytes that are no UTF-8 .* after "a"/],
  [MODEL, { chat: true }, 'chat/no-template', /model has no chat template/],
  [MODEL, { tokens: 255 }, 'generate/context', /prompt has 2 tokens and 255 more are asked for; .* 256 posi/],
  [
    MODEL,
    { prompt: 'hi '.repeat(100) },
    'generate/context',
    /The prompt has 300 tokens; .* has 256 positions/,
  ],
];

for (const [named, flags, code, message] of refused)
  test(`refused: ${code}, ${JSON.stringify(flags).slice(0, 40)}`, async () => {
    const all = { prompt: 'hi', kernels: 'composed' as const, ...flags };
    await rejectsWith(() => generate(named, all, silent()), code, message);
  });

test('values of options are whole numbers and shares in their ranges', async () => {
  const invalid = (parse: () => unknown, message: RegExp) => assert.throws(parse, message);
  const tokens = parseWhole(1, 10);
  assert.equal(tokens('10'), 10);
  for (const text of ['0', '11', '-1', '1.5', '1e1', 'x', '']) invalid(() => tokens(text), /from 1 to 10/);
  assert.equal(SHARE('1'), 1);
  for (const text of ['0', '1.01', 'NaN', 'Infinity', ' ']) invalid(() => SHARE(text), /above 0, up to 1/);
  assert.equal(parseCache('8'), 8);
  invalid(() => parseCache('3'), /Allowed: 16, 8, 4/);
  assert.equal(parseHeadBits('8'), 8);
  invalid(() => parseHeadBits('4'), /Allowed: 16, 8/);
  assert.deepEqual(collectStop('b', collectStop('a')), ['a', 'b']);
  invalid(() => collectStop(''), /not empty/);
  const { code, stdout } = await spinquant(['generate', 'model', '--json'], folder);
  assert.equal(code, 1);
  assert.match((JSON.parse(stdout) as { error: { message: string } }).error.message, /--prompt <text>/);
});

async function last(job: ReturnType<typeof generateText>) {
  const events: (RunEvent | GenerationEvent)[] = [];
  for (;;) {
    const next = await job.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
  }
}

const request = (model: string, text: string, tokens: number | null): GenerateRequest => ({
  from: { model },
  prompt: { text, chat: null },
  tokens,
  choice: MOST_LIKELY,
  seed: 0,
  stops: [],
  cacheBits: null,
  simulated: false,
});

test('an empty prompt is BOS alone; unknown characters are told; without a number the text fits', async (t) => {
  const options = { kernels: 'composed' } as const;
  const empty = await last(generateText(request(MODEL, '', 2), options));
  assert.deepEqual(empty.result.promptIds, [1]);
  const long = await last(generateText(request(MODEL, 'hi '.repeat(84), null), options));
  assert.deepEqual([long.result.promptIds.length, long.result.ids.length], [252, 4]);
  const odd = await last(generateText(request(MODEL, 'a猫', 1), options));
  const warnings = odd.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  assert.match(warnings.join(), /does not know all of the prompt "a猫": what the model reads is "a"/);
  const without = join(temporaryFolder(t), 'model');
  cpSync(MODEL, without, { recursive: true });
  editJson(join(without, 'tokenizer_config.json'), { bos_token: null });
  await rejectsWith(
    () => last(generateText(request(without, '', 2), options)),
    'generate/empty-prompt',
    /no tok/,
  );
  rmSync(join(without, 'tokenizer.json'));
  await rejectsWith(
    () => last(generateText(request(without, 'a', 2), options)),
    'tokenizer/missing',
    /no token/,
  );
});

test('Ctrl-C ends the text in order', async () => {
  const args = ['generate', 'model', '--prompt', 'once', '--tokens', '250', ...COMPOSED];
  const { code, stdout, stderr } = await spinquant(args, folder, (child) => {
    child.stdout?.once('data', () => child.kill('SIGINT'));
  });
  assert.equal(code, 130, stderr);
  assert.match(stdout, /^.+\n$/s);
  assert.match(stderr, /\n\d+ tokens?: cancelled; this was written so far · /);
});

test('nothing is written for a reader that has gone', async () => {
  const args = ['generate', 'model', '--prompt', 'once', '--tokens', '250', ...COMPOSED];
  const { code, stderr } = await spinquant(args, folder, (child) => {
    child.stdout?.once('data', () => child.stdout?.destroy());
  });
  assert.equal(code, 1);
  assert.match(stderr, /Standard output cannot be written: its reader has gone/);
  assert.doesNotMatch(stderr, /as many tokens as asked for/);
});

const STORIES = join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'models', 'stories260K');

test('stories260K tells the story that llama2.c tells', async (t) => {
  if (!existsSync(STORIES)) return t.skip('the shared models are not here');
  const out = join(temporaryFolder(t), 'model');
  const tokenizer = join(STORIES, 'tok512.bin');
  await collect(importModel({ source: join(STORIES, 'stories260K.bin'), tokenizer, out }));
  const { result } = await last(generateText(request(out, '', 200), {}));
  assert.equal(result.text, readFileSync(join(STORIES, 'expected-greedy-200.txt'), 'utf8'));
  assert.equal(result.ids.length, 200);
});
