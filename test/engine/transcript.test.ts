/** All that one small whole run says, against test/fixtures/transcript.txt. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { resolveExperiment } from '../../src/config/index.ts';
import { optimizeRotation } from '../../src/engine/index.ts';
import { collect } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { differences, transcriptOf } from '../helpers/transcript.ts';

const EXPECTED = join(import.meta.dirname, '..', 'fixtures', 'transcript.txt');
/**
 * On another processor rounding may move a number by this share of itself: a few of the values that are
 * rounded to 16 or more codes fall to the other side of a border.
 */
const SHARE = 0.02;

const folder = oldRunsFolder();

/** Learns through the quantized network, rounds by GPTQ, measures: every phase that there is. */
async function smallExperiment() {
  const experiment = await resolveExperiment(join(folder, 'gptq.spinquant.json'), 'optimize');
  const { rotation, quantization } = experiment;
  const learning = {
    ...rotation.learning,
    objective: 'cross-entropy',
    optimizer: 'cayley-sgd',
    steps: 3,
    learningRate: 1.5,
    batchSize: 4,
    microBatch: 2,
  } as const;
  // A search takes the next step of its grid where rounding decides between two.
  const weights = { ...quantization.weights, clip: false };
  // Its text could choose the mean of keys, or not, on another processor.
  const keys = { ...quantization.keys, offset: 'bias' } as const;
  return {
    ...experiment,
    threads: 1,
    rotation: { ...rotation, learning },
    quantization: { ...quantization, weights, keys },
  };
}

test('a whole run says what it said before', async () => {
  const { events, result } = await collect(
    optimizeRotation(await smallExperiment(), { kernels: 'composed' }),
  );
  const version = events.map((event) => (event.type === 'run-started' ? event.runtime : '')).join('');
  const names = new Map([
    [result.run, '<run>'],
    [dirname(result.run), '<runs>'],
    [folder, '<folder>'],
    [/^onnxruntime [\d.]+/.exec(version)?.[0] ?? version, 'onnxruntime'],
  ]);
  const found = transcriptOf(events, names);
  if (!existsSync(EXPECTED)) {
    writeFileSync(EXPECTED, found);
    assert.fail(`${EXPECTED} was not there and has been written: read it before it is kept`);
  }
  const all = differences(found, readFileSync(EXPECTED, 'utf8'), SHARE);
  assert.equal(all.length, 0, `\n${all.join('\n')}`);
});

test('a comparison of transcripts sees what counts', () => {
  const line = 'step loss=7.91 step=1 stepCap={r1=0.500 r2Max=null}\n';
  const differs = (other: string) => differences(other, line, SHARE).length > 0;
  assert.ok(!differs(line));
  assert.ok(!differs(line.replace('7.91', '7.95')), 'rounding');
  assert.ok(differs(line.replace('7.91', '8.91')));
  assert.ok(differs(line.replace('step=1', 'step=2')), 'a count');
  assert.ok(differs(line.replace('null', '0.500')));
  assert.ok(differs(line.replace('loss', 'cost')));
  assert.ok(differs(`${line}${line}`), 'one more event');
  assert.ok(differs(''), 'none');
});
