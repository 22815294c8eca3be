/** A tiny model with texts, experiments and the runs that an earlier version made of them. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'old-runs');

/** A copy in a folder of its own, for the tests of one file. */
export function oldRunsFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-old-runs-'));
  cpSync(FIXTURE, folder, { recursive: true });
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}
