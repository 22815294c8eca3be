/** Starts a program with the operators, and tests on it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { programArguments } from '../../helpers/program.ts';
import { HOST_COMMAND } from './host-addon.ts';

/** Why these tests are skipped where those of the addon run with sanitizers. */
export const APART = 'the program with the operators is built apart from the addon';

/** @returns the instruction sets that the program finds usable, slowest first. */
export function instructionSetsOf(
  [command, ...args]: readonly string[],
  env: NodeJS.ProcessEnv = {},
): string[] {
  const options = { input: '', encoding: 'utf8', env: { ...process.env, ...env } } as const;
  const { stdout, stderr, status } = spawnSync(command!, args, options);
  assert.equal(status, 0, stderr);
  return stdout.trim().split(' ');
}

/**
 * Fails where one of the named tests fails on the program (on-host.ts), with what they said.
 * @param only which of their cases, by a regular expression.
 */
export function runTests(command: readonly string[], names: readonly string[], only = '.'): void {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const args = [...programArguments(new URL('./on-host.ts', import.meta.url)), ...names];
  const flags = ['--test-reporter=tap', `--test-name-pattern=${only}`];
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, ...args], {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
    env: { ...env, [HOST_COMMAND]: JSON.stringify(command) },
  });
  const failures = stdout.split(/^(?=ok |not ok )/m).filter((part) => part.startsWith('not ok'));
  assert.equal(status, 0, [...failures, stderr].join('\n'));
  assert.match(stdout, /^# pass [1-9]/m);
}
