import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { throttle } from '../../src/extension/throttle.ts';

const INTERVAL_MS = 40;

test('a throttled call comes at once, gathers those that follow, and loses none', async () => {
  let calls = 0;
  const call = throttle(() => {
    calls++;
  }, INTERVAL_MS);
  call();
  assert.equal(calls, 1);
  for (let i = 0; i < 5; i++) call();
  assert.equal(calls, 1);
  await sleep(150);
  assert.equal(calls, 2);
  call();
  call();
  call.dispose();
  call();
  await sleep(2 * INTERVAL_MS);
  assert.equal(calls, 3, 'nothing comes after the end');
});

test('work that waits never runs twice at once, nor more often than its interval, and hears the last wish', async () => {
  const times: number[] = [];
  let running = 0;
  const call = throttle(async () => {
    assert.equal(++running, 1, 'never twice at once');
    times.push(performance.now());
    // Every other one takes longer than the interval.
    await sleep(times.length % 2 === 0 ? 2 * INTERVAL_MS : 5);
    running--;
  }, INTERVAL_MS);
  for (const end = performance.now() + 6 * INTERVAL_MS; performance.now() < end; await sleep(2)) call();
  const asked = times.length;
  call();
  await sleep(5 * INTERVAL_MS);
  assert.ok(times.length > asked, 'the last wish was heard');
  const gaps = times.slice(1).map((time, index) => time - times[index]!);
  // Timers may fire a millisecond early by their rounding.
  for (const gap of gaps) assert.ok(gap >= INTERVAL_MS - 2, `${gap} ms apart`);
  call.dispose();
  assert.equal(running, 0);
});

test('what cannot wait is done at once, and what was gathered before comes with it', async () => {
  let calls = 0;
  const call = throttle(() => {
    calls++;
  }, 40);
  call();
  call();
  call.now();
  assert.equal(calls, 2);
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(calls, 2, 'nothing is done twice');
  call.dispose();
  call.now();
  assert.equal(calls, 2);
});
