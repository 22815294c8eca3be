/** VS Code loads this: it runs the suite's test files beside it with mocha, and writes how they went. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Mocha from 'mocha';
import type { HostTest } from '../rig/host-run.ts';

export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: 'bdd', timeout: 20_000, color: false });
  const suite = process.env.SPINQUANT_HOST_SUITE ?? 'host';
  for (const name of readdirSync(__dirname).sort())
    if (name.endsWith(`.${suite}.cjs`)) mocha.addFile(join(__dirname, name));
  const tests: HostTest[] = [];
  const failures = await new Promise<number>((resolve) => {
    const runner = mocha.run(resolve);
    runner.on('pass', (test) => tests.push(outcome(test, null)));
    // Hooks fail here too.
    runner.on('fail', (test, error) => tests.push(outcome(test, error.stack ?? String(error))));
  });
  const path = process.env.SPINQUANT_HOST_RESULT;
  if (path) writeFileSync(path, JSON.stringify(tests));
  if (failures > 0) throw new Error(`${failures} of ${tests.length} tests failed.`);
}

function outcome(test: Mocha.Runnable, error: string | null): HostTest {
  return { title: test.fullTitle(), durationMs: test.duration ?? 0, error };
}
