import assert from 'node:assert/strict';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { curve } from '../../scripts/fixtures/curves.mts';
import { type RunContents, writeRun } from '../../scripts/fixtures/folder.mts';
import { LearnedRuns } from '../../src/extension/panels/training/learned.ts';
import { openRun } from '../../src/runs/index.ts';
import { runsFolder } from './states.ts';

const startedAt = new Date(Date.UTC(2026, 0, 1));
const steps = curve({ shape: 'converging', seed: 1, steps: 3, of: 3, startedAt, secondsPerStep: 2 });
const time = startedAt.toISOString();

test('only runs with learning steps are offered: no evaluation, whatever it says or whether it runs', async (t) => {
  const folder = await runsFolder(t);
  const write = (slug: string, contents: Partial<RunContents>) =>
    openRun(
      writeRun(folder, { slug, startedAt, status: 'finished', experiment: { model: 'm' }, ...contents }),
    );
  // Learning on captured activations leaves no checkpoint.
  const learned = await write('learned', { steps });
  const evaluation = await write('evaluation', { perplexity: [] });
  const says = await write('says', {
    events: [{ type: 'warning', time, message: '"type":"step"', hint: '' }],
  });
  const evaluating = await write('evaluating', { status: 'running' });
  const starting = await write('starting', { status: 'running' });
  const all = [evaluating, starting, says, evaluation, learned];

  const runs = new LearnedRuns();
  const names = async (most = all.length) =>
    (await runs.among(all, most)).map(({ record }) => record.id.replace(/^[^-]*-/, ''));
  assert.deepEqual(await names(), ['learned']);
  appendFileSync(starting.path('events'), `${JSON.stringify(steps[0])}\n`);
  assert.deepEqual(await names(), ['starting', 'learned'], 'what runs is asked again');
  assert.deepEqual(await names(1), ['starting']);

  rmSync(join(learned.dir, 'events.jsonl'));
  runs.forget(learned.dir);
  assert.deepEqual(await names(), ['starting']);
});
