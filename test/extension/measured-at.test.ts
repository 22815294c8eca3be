import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { measuredAt } from '../../src/extension/runs/summaries.ts';
import { Run, writeJson } from '../../src/runs/index.ts';
import { summary } from './run-fixture.ts';

test('the age of a result: what the file says, else the time of the file, else the start of the run', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-age-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const { run: made, results } = summary({ id: 'x', perplexity: 9, measuredAt: '2026-01-02T00:00:00Z' });
  const run = new Run(dir, { ...made.record, startedAt: '2026-01-01T00:00:00Z' });
  const iso = (said: string | null) => measuredAt(run, { ...results!, measuredAt: said }).toISOString();
  assert.equal(iso(null), '2026-01-01T00:00:00.000Z');
  writeJson(run.path('results'), {});
  const copied = new Date('2026-03-03T00:00:00Z');
  utimesSync(run.path('results'), copied, copied);
  // A copied or checked-out folder has new times; what was measured is as old as before.
  assert.equal(iso('2026-01-02T00:00:00Z'), '2026-01-02T00:00:00.000Z');
  assert.equal(iso(null), copied.toISOString());
  assert.equal(iso('yesterday'), copied.toISOString());
});
