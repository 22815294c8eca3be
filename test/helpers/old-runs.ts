/** A tiny model with texts, experiments and the runs that an earlier version made of them. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { goldenFolder } from '../model/goldens.ts';

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'old-runs');

/** A copy in a folder of its own, for the tests of one file. */
export function oldRunsFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-old-runs-'));
  cpSync(FIXTURE, folder, { recursive: true });
  // The hash of the model is made of these bytes; in the fixture the formatter has laid them out anew.
  cpSync(join(goldenFolder('qwen3'), 'config.json'), join(folder, 'model', 'config.json'));
  after(() => rmSync(folder, { recursive: true }));
  return folder;
}
