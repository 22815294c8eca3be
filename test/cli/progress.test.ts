import assert from 'node:assert/strict';
import test from 'node:test';
import { createColors } from 'picocolors';
import { reportFailure } from '../../src/cli/failure.ts';
import { interruptible } from '../../src/cli/interrupt.ts';
import type { Output } from '../../src/cli/output.ts';
import { follow, ProgressLines } from '../../src/cli/progress.ts';
import { formatTable } from '../../src/cli/table.ts';
import { Cancelled, throwIfCancelled, UserError } from '../../src/protocol/errors.ts';
import { type RunEvent, timed } from '../../src/protocol/events.ts';
import { formatBytes, formatDelta, formatPerplexity, formatSeconds } from '../../src/protocol/text.ts';

/** An output that remembers what was written to it. */
function recorder(live: boolean) {
  const notes: string[] = [];
  const statuses: string[] = [];
  const documents: unknown[] = [];
  const output: Output = {
    json: true,
    colors: createColors(false),
    live,
    columns: 60,
    result: () => {},
    stream: () => true,
    document: (value) => documents.push(value),
    note: (text) => notes.push(text),
    warn: (_, text) => notes.push(`Warning: ${text}`),
    status: (text) => statuses.push(text),
  };
  return { output, notes, statuses, documents };
}

function step(number: number, seconds = 2): RunEvent {
  return timed({
    type: 'step',
    step: number,
    of: 11,
    loss: 3.41234,
    gradientNorm: 61.5,
    learningRate: 1.5,
    stepCap: { r1: null, r2Max: null },
    orthogonalityError: 0,
    distanceFromStart: { r1: null, r2: null },
    seconds,
    tokens: 1,
  });
}

test('on a terminal steps rewrite one line, cut to its width', () => {
  const { output, notes, statuses } = recorder(true);
  const progress = new ProgressLines(output);
  progress.show(step(1));
  assert.equal(statuses[0], 'step 1/11 · loss 3.4123 · gradient 61.5 · 2.0 s/step · 20 s left'.slice(0, 59));
  progress.show(timed({ type: 'warning', message: 'few samples.', hint: 'Add text.' }));
  assert.deepEqual(notes, ['Warning: few samples. Add text.']);
});

test('elsewhere lines come seldom, the first and the last step always', () => {
  const { output, notes, statuses } = recorder(false);
  let now = 0;
  const progress = new ProgressLines(output, () => now);
  for (let number = 1; number <= 11; number++, now += 500) progress.show(step(number));
  assert.deepEqual(
    notes.map((note) => note.split(' ·')[0]),
    ['step 1/11', 'step 5/11', 'step 9/11', 'step 11/11'],
  );
  assert.deepEqual(statuses, []);
});

test('the time left follows recent steps', () => {
  const { output, notes } = recorder(false);
  let now = 0;
  const progress = new ProgressLines(output, () => now);
  progress.show(step(1, 10));
  now = 10_000;
  progress.show(step(2, 5));
  now = 15_000;
  progress.show(step(3, 5));
  assert.match(notes[0]!, /10 s\/step · 1 min 40 s left/);
  // The upper one of two, then the median of three: a slow first step does not stay.
  assert.match(notes[1]!, /5\.0 s\/step · 1 min 30 s left/);
  assert.match(notes[2]!, /5\.0 s\/step · 40 s left/);
});

test('rounding: how far and how long, and what each layer lost', () => {
  const { output, notes, statuses } = recorder(true);
  const progress = new ProgressLines({ ...output, columns: 200 });
  const at = (second: number): string => new Date(1000 * second).toISOString();
  const done = (second: number, layersDone: number, share: number): RunEvent => ({
    type: 'rounding-progress',
    method: 'gptq',
    time: at(second),
    layersDone,
    layers: 30,
    done: share,
  });
  progress.show({ type: 'phase', time: at(0), phase: 'round', state: 'started' });
  progress.show(done(1, 0, 0.01));
  progress.show(done(15, 2, 0.125));
  progress.show(done(120, 30, 1));
  const [q, down] = [
    { linear: 'q', error: 0.0031, nearest: 0.0074 },
    { linear: 'down', error: 0.012, nearest: 0.021 },
  ];
  const layer = { layer: 2, layers: 30, errors: [q, down], seconds: 4 };
  progress.show({ type: 'rounding', method: 'gptq', time: at(16), ...layer });
  assert.deepEqual(statuses, [
    'Rounding the weights …',
    'GPTQ: layer 1/30 · 1 %',
    'GPTQ: layer 3/30 · 12 % · 1 min 45 s left',
    'GPTQ: layer 30/30 · 100 %',
    'GPTQ: layer 3/30, error of outputs 0.76 %, to nearest 1.4 %',
  ]);
  progress.show({ type: 'phase', time: at(120), phase: 'round', state: 'finished', seconds: 120 });
  assert.deepEqual(notes, ['Rounding the weights (2 min 0 s)']);
});

test('follow shows every event and returns what the run returned, or throws what it threw', async () => {
  async function* run(fails: boolean): AsyncGenerator<RunEvent, number> {
    yield timed({ type: 'phase', phase: 'evaluate', state: 'finished', detail: 'wiki', seconds: 3 });
    yield timed({
      type: 'evaluation',
      name: 'wiki',
      variant: 'quantized',
      perplexity: 12.0712,
      windows: 3,
      tokens: 9,
      seconds: 3,
    });
    if (fails) throw new Cancelled();
    return 7;
  }
  const { output, notes } = recorder(false);
  assert.equal(await follow(run(false), output), 7);
  assert.deepEqual(notes, [
    'Evaluating: wiki (3.0 s)',
    'wiki, quantized: perplexity 12.071 over 3 windows (3.0 s)',
  ]);
  await assert.rejects(follow(run(true), output), Cancelled);
});

test('exit codes: 1 a fault in the input, 2 a bug with its stack, 130 cancelled', () => {
  const { output, notes, documents } = recorder(false);
  assert.equal(reportFailure(new UserError('a/b', 'wrong.', 'mend it'), output), 1);
  assert.deepEqual(notes.splice(0), ['Error: wrong.', 'mend it']);
  assert.equal(reportFailure(new RangeError('index 7'), output), 2);
  assert.match(
    notes.splice(0).join('\n'),
    /RangeError: index 7[\s\S]*progress\.test\.ts[\s\S]*This is a bug/,
  );
  assert.equal(reportFailure(new Cancelled(), output), 130);
  assert.deepEqual(documents, [
    { error: { code: 'a/b', message: 'wrong.', hint: 'mend it' } },
    { error: { code: 'bug', message: 'index 7', hint: '' } },
    { error: { code: 'cancelled', message: 'Cancelled', hint: '' } },
  ]);
});

test('SIGINT aborts the signal, and the same press again does no harm', async (t) => {
  const { output, notes } = recorder(false);
  const before = process.listeners('SIGINT');
  // Waiting for a signal alone keeps no process running.
  const alive = setInterval(() => undefined, 1000);
  t.after(() => {
    clearInterval(alive);
    for (const name of ['SIGINT', 'SIGTERM'] as const)
      for (const listener of process.listeners(name))
        if (!before.includes(listener)) process.off(name, listener);
  });
  assert.equal(await interruptible(output, async () => 7), 7);
  assert.deepEqual(process.listeners('SIGINT'), before, 'work that ended leaves no listener behind');
  const seen = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const work = interruptible(
    output,
    async (signal) => {
      const stopped = seen(signal);
      process.kill(process.pid, 'SIGINT');
      await stopped;
      throwIfCancelled(signal);
    },
    // However long a busy machine takes, the second signal is of the same press.
    () => 0,
  );
  await assert.rejects(work, Cancelled);
  process.kill(process.pid, 'SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(notes, ['Stopping. Press Ctrl-C again to leave at once.']);
});

test('tables are aligned', () => {
  assert.equal(
    formatTable(
      ['name', 'ppl'],
      [
        ['a', '3.5'],
        ['long name', '12.25'],
      ],
      ['left', 'right'],
    ),
    ['name         ppl', '---------  -----', 'a            3.5', 'long name  12.25'].join('\n'),
  );
});

test('numbers as people read them', () => {
  assert.deepEqual([3.54841, 191.23, 123456, null, Number.NaN].map(formatPerplexity), [
    '3.548',
    '191.2',
    '1.23e+5',
    '–',
    'NaN',
  ]);
  assert.deepEqual(
    [formatDelta(4, 3.5), formatDelta(3, 3.5), formatDelta(null, 3)],
    ['+0.500', '−0.500', '–'],
  );
  assert.deepEqual([0.42, 12.3, 59.7, 200, 7500].map(formatSeconds), [
    '0.4 s',
    '12 s',
    '1 min 0 s',
    '3 min 20 s',
    '2 h 5 min',
  ]);
  assert.deepEqual([0, 1023, 1024, 5 * 2 ** 30].map(formatBytes), ['0 B', '1023 B', '1.0 KiB', '5.0 GiB']);
});
