/** Text behind a prompt: which tokens come, what ends them, and what is left where it is stopped. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { continueText, type TextTask } from '../../src/engine/generate/continue-text.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { GenerationEvent, WrittenText } from '../../src/protocol/generation.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

let runtime: Runtime;
let network: Network;
before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
  const options = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS } as const;
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  network = new Network(new ProgramCache(runtime), checkpoint, { ...options, centreEmbedding: false });
});
after(() => runtime.close());

/** Two characters for each token. */
const textOf = (ids: ArrayLike<number>): string =>
  Array.from(ids, (id) => `${String.fromCharCode(97 + (id % 26))}${Math.floor(id / 26)}`).join('');

const TASK: TextTask = {
  prompt: Int32Array.of(5, 9, 33, 2),
  tokens: 12,
  choice: MOST_LIKELY,
  seed: 0,
  stops: [],
  endTokens: new Set(),
};
const DRAWN = { ...MOST_LIKELY, temperature: 1 };

interface Written {
  readonly events: readonly GenerationEvent[];
  readonly result: WrittenText;
}

async function written(
  changes: Partial<TextTask>,
  signal?: AbortSignal,
  stopAt = () => {},
): Promise<Written> {
  const writing = continueText(network, textOf, { ...TASK, ...changes }, signal);
  const events: GenerationEvent[] = [];
  for (;;) {
    const next = await writing.next();
    if (next.done) return { events, result: next.value };
    events.push(next.value);
    if (events.length === 5) stopAt();
  }
}

const streamed = (events: readonly GenerationEvent[]): string =>
  events.map((event) => (event.type === 'prompt' ? '' : event.text)).join('');

test('the most likely tokens are those of passes over the whole text', async () => {
  const { events, result } = await written({});
  const ids = [...TASK.prompt];
  const { vocabSize } = network.checkpoint.config;
  for (const event of events) {
    if (event.type !== 'token') continue;
    const logits = (await sequenceLogits(network, Int32Array.from(ids))).subarray(-vocabSize);
    assert.equal(event.id, logits.indexOf(Math.max(...logits)));
    assert.ok(event.logProbability < 0 && event.logProbability >= -Math.log(vocabSize));
    ids.push(event.id);
  }
  assert.deepEqual(ids.slice(TASK.prompt.length), result.ids);
  assert.equal(result.ids.length, 12);
  assert.equal(result.text, textOf(result.ids));
  assert.equal(streamed(events), result.text);
  assert.deepEqual([result.ended, result.stop], ['tokens', null]);
  const { seconds, tokensPerSecond } = result;
  assert.equal(tokensPerSecond.prefill, 4 / seconds.prefill);
  assert.equal(tokensPerSecond.decode, 11 / seconds.decode);
  const one = await written({ tokens: 1 });
  assert.deepEqual([one.result.ids, one.result.tokensPerSecond.decode], [result.ids.slice(0, 1), null]);
});

test('drawn tokens depend on the seed alone, and the penalty knows the prompt', async () => {
  const first = await written({ choice: DRAWN, seed: 3 });
  assert.deepEqual((await written({ choice: DRAWN, seed: 3 })).result.ids, first.result.ids);
  assert.notDeepEqual((await written({ choice: DRAWN, seed: 4 })).result.ids, first.result.ids);
  // Whatever is said is out of the question afterwards.
  const { ids } = (await written({ choice: { ...MOST_LIKELY, repetitionPenalty: 1e6 }, tokens: 40 })).result;
  assert.equal(new Set([...TASK.prompt, ...ids]).size, 44);
});

test('an end token ends the text, and has no text itself', async () => {
  const choice = { ...DRAWN, temperature: 3 };
  const { ids } = (await written({ choice })).result;
  const end = ids[7]!;
  assert.equal(ids.indexOf(end), 7, 'the seed has no such token before');
  const { events, result } = await written({ choice, endTokens: new Set([end, 999]) });
  assert.deepEqual([result.ids, result.ended], [ids.slice(0, 8), 'end-token']);
  assert.equal(result.text, textOf(ids.slice(0, 7)));
  assert.equal(streamed(events), result.text);
});

test('a stop string over several tokens ends the text before it', async () => {
  const choice = { ...DRAWN, temperature: 3 };
  const { ids, text } = (await written({ choice })).result;
  // From the middle of a token to the middle of the token after next.
  const stop = text.slice(7, 11);
  const { events, result } = await written({ choice, stops: ['never', stop] });
  assert.deepEqual([result.text, result.ended, result.stop], [text.slice(0, 7), 'stop', stop]);
  assert.equal(streamed(events), result.text);
  assert.deepEqual(result.ids, ids.slice(0, 6));
  // What only begins like one is shown in the end.
  const begun = await written({ choice, stops: [`${text.slice(-3)}!`] });
  assert.deepEqual([begun.result.text, begun.result.ended], [text, 'tokens']);
  assert.equal(streamed(begun.events), text);
});

test('stopped by the signal, it ends in order with what was written', async () => {
  const whole = await written({});
  const controller = new AbortController();
  const { events, result } = await written({}, controller.signal, () => controller.abort());
  assert.deepEqual([result.ended, result.ids], ['cancelled', whole.result.ids.slice(0, 5)]);
  assert.equal(result.text, textOf(result.ids));
  assert.deepEqual(events.at(-1), { type: 'text-end', text: '', ended: 'cancelled' });
  await assert.rejects(written({}, AbortSignal.abort()), Cancelled);
});
