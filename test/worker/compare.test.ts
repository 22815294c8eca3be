/** Texts beside each other through the worker: events in batches, faults in words, and a stop that is heard. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { WorkerClient } from '../../src/extension/jobs/client.ts';
import type { ComparedNotification, CompareParams } from '../../src/protocol/worker.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { workerLaunch } from './launch.ts';

const RUN = join(oldRunsFolder(), 'runs', '20261128T151219Z-gptq');
const PARAMS: CompareParams = {
  job: 'text-1',
  runs: [RUN],
  prompt: 'once upon a time',
  tokens: 40,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
  stop: '',
  chat: false,
  device: null,
};
let client: WorkerClient;
before(async () => {
  client = await WorkerClient.start(workerLaunch());
});
after(() => client.kill());

const never = new AbortController().signal;

/** Events by column, as the types that follow each other. */
function columnsOf(batches: readonly ComparedNotification['events'][]): string[][] {
  const columns: string[][] = [];
  for (const event of batches.flat()) {
    if (event.type !== 'column') continue;
    columns[event.column] ??= [];
    const types = columns[event.column]!;
    if (types.at(-1) !== event.event.type) types.push(event.event.type);
  }
  return columns;
}

test('texts come in batches, twenty a second at most', async () => {
  const batches: ComparedNotification['events'][] = [];
  const began = performance.now();
  await client.compare(PARAMS, (events) => batches.push(events), never);
  const seconds = (performance.now() - began) / 1000;
  const written = ['started', 'prompt', 'network', 'token', 'text-end', 'written'];
  assert.deepEqual(columnsOf(batches), [
    [...written, 'text-judged'],
    [...written, 'judged', 'text-judged'],
  ]);
  assert.ok(batches.flat().length > 120);
  // The last batch does not wait.
  assert.ok(batches.length <= 20 * seconds + 1, `${batches.length} in ${seconds} s`);
});

test('a fault of the prompt ends the request in words; a fault of a run is told in its column', async () => {
  await assert.rejects(
    client.compare({ ...PARAMS, tokens: 400 }, () => {}, never),
    {
      name: 'UserError',
      code: 'generate/context',
      message: /400 more are asked for/,
    },
  );
  const batches: ComparedNotification['events'][] = [];
  const runs = [RUN, join(RUN, 'gone')];
  await client.compare({ ...PARAMS, runs, tokens: 2 }, (events) => batches.push(events), never);
  assert.deepEqual(columnsOf(batches)[2], ['started', 'failed']);
});

test('a stop is heard within the text; the worker goes on', async () => {
  const controller = new AbortController();
  let tokens = 0;
  const hear = (events: ComparedNotification['events']) => {
    for (const event of events) if (event.type === 'column' && event.event.type === 'token') tokens++;
    if (tokens > 0) controller.abort();
  };
  await assert.rejects(client.compare({ ...PARAMS, tokens: 230 }, hear, controller.signal), {
    name: 'Cancelled',
  });
  assert.ok(tokens < 230, `${tokens} tokens were told`);
  await client.compare({ ...PARAMS, tokens: 1 }, () => {}, never);
});
