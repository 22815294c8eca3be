/** Steps of a plan: in which order they run, and which need not run again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, type Step } from '../../src/engine/plan/step.ts';
import { collect } from '../helpers/demo-runs.ts';
import { adding, executorOf, NO_BENCH } from '../helpers/plan-steps.ts';

test('inputs run before, in their order, and each once', async () => {
  const ran: string[] = [];
  const first = adding(ran, 'first', 1);
  const left = adding(ran, 'left', 10, [first]);
  const right = adding(ran, 'right', 100, [first]);
  const last = adding(ran, 'last', 1000, [right, left, first]);
  const executor = executorOf(NO_BENCH);
  assert.equal((await collect(executor.execute(last))).result, 1113);
  assert.deepEqual(ran, ['first', 'right', 'left', 'last']);
  assert.equal((await collect(executor.execute(left))).result, 11);
  assert.equal(ran.length, 4, 'nothing ran again');
  assert.throws(() => executor.of(adding(ran, 'other', 1)), /other has not run/);
});

test('a step whose result is kept under its key is not run; its inputs are', async () => {
  const ran: string[] = [];
  const input = adding(ran, 'input', 1);
  const asked: string[] = [];
  const kept = new Map<string, number>();
  const step: Step<number> = {
    ...adding(ran, 'kept', 2, [input]),
    find(context, key) {
      asked.push(key);
      assert.equal(context.of(input), 1, 'the inputs are there');
      return kept.get(key) ?? null;
    },
  };
  const reader = adding(ran, 'reader', 4, [step]);
  assert.equal((await collect(executorOf(NO_BENCH).execute(reader))).result, 7);
  assert.deepEqual(ran, ['input', 'kept', 'reader']);
  kept.set(asked[0]!, 30);
  assert.equal((await collect(executorOf(NO_BENCH).execute(reader))).result, 34);
  assert.deepEqual(ran.slice(3), ['input', 'reader']);
  assert.deepEqual(asked, [asked[0], asked[0]], 'the same key in another job');
});

test('a cancelled job starts no step', async () => {
  const ran: string[] = [];
  const executor = executorOf(NO_BENCH, [], AbortSignal.abort());
  await assert.rejects(collect(executor.execute(adding(ran, 'step', 1))), { name: 'Cancelled' });
  assert.deepEqual(ran, []);
});

test('a key is of the step, its spec and the results of its inputs, not of the way to them', async () => {
  const keyOf = async (step: Step<number>) => {
    const executor = executorOf(NO_BENCH);
    for (const input of step.inputs) await collect(executor.execute(input));
    return executor.keyOf(step);
  };
  const ran: string[] = [];
  const three = adding(ran, 'three', 3);
  const step = adding(ran, 'step', 2, [three]);
  const key = await keyOf(step);
  assert.equal(await keyOf(adding(ran, 'step', 2, [three])), key);
  const detour = adding(ran, 'detour', 1, [adding(ran, 'two', 2)]);
  assert.equal(await keyOf(adding(ran, 'step', 2, [detour])), key, 'both inputs are 3');
  const others = [
    adding(ran, 'another', 2, [three]),
    adding(ran, 'step', 4, [three]),
    adding(ran, 'step', 2, [adding(ran, 'four', 4)]),
    adding(ran, 'step', 2, [three, three]),
    { ...step, version: 2 },
    { ...step, kind: 'round' as const },
  ];
  const keys = [key, ...(await Promise.all(others.map(keyOf)))];
  assert.equal(new Set(keys).size, keys.length);
});

test('digests tell apart data and numbers', () => {
  const [a, b] = [Float32Array.of(1, 2), Float32Array.of(3)];
  assert.equal(digestOf('x', [a, b]), digestOf('x', [a.slice(), b]));
  const all = [
    digestOf('x', [a, b]),
    digestOf('y', [a, b]),
    digestOf('x', [b, a]),
    digestOf('x', [Float32Array.of(1, 2, 3)]),
    digestOf('x', [Float32Array.of(1), Float32Array.of(2, 3)]),
    digestOf('x'),
  ];
  assert.equal(new Set(all).size, all.length);
});
