import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import type { Release } from '../../../scripts/workbench/install.ts';
import { developIn } from './development.ts';
import { type Rig, ROOT, screenshot, startRig } from './rig.ts';

/** One mocha test as it went in the extension host. */
export interface HostTest {
  readonly title: string;
  readonly durationMs: number;
  /** Message and stack, or null when it passed. */
  readonly error: string | null;
}

/** Test files of host/ by their ending: what each kind of folder is tested with. */
export const SUITES = ['host', 'restricted', 'virtual'] as const;
export type Suite = (typeof SUITES)[number];

export interface HostRunOptions {
  readonly release?: Release;
  /** The ordinary one unless said. */
  readonly suite?: Suite;
  /** Folders of further extensions that the suite needs. */
  readonly helpers?: readonly string[];
  /** Called with the page when the suite has ended, to look at it. */
  look?(rig: Rig): Promise<void>;
}

const LIMIT_MS = 300_000;
/** Files of tests run beside each other, and each makes its own. */
const OUT = join(ROOT, 'build', 'workbench', String(process.pid));

/**
 * Bundles the suites for the extension host, which takes no TypeScript: one CommonJS file per test file.
 * @returns the module that VS Code is to load.
 */
export async function buildHostSuite(): Promise<string> {
  const source = join(ROOT, 'test', 'workbench', 'host');
  const endings = SUITES.map((suite) => `.${suite}.ts`);
  const names = readdirSync(source).filter(
    (name) => name === 'index.ts' || endings.some((ending) => name.endsWith(ending)),
  );
  const removeIt = () => rmSync(OUT, { recursive: true, force: true });
  removeIt();
  process.once('exit', removeIt);
  await build({
    entryPoints: names.map((name) => join(source, name)),
    outdir: OUT,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    // The forms that bundlers can follow.
    mainFields: ['module', 'main'],
    external: ['vscode', 'mocha'],
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  return join(OUT, 'index.cjs');
}

/**
 * Runs a suite inside the extension host of a browser-hosted VS Code, on the development tree.
 * @param folder its path, or the URI of one that a helper provides.
 */
export async function runHostSuite(folder: string, options: HostRunOptions = {}): Promise<HostTest[]> {
  const { release = 'newest', suite = 'host', helpers = [] } = options;
  const tests = await buildHostSuite();
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-host-'));
  const result = join(dir, 'result.json');
  const env = { SPINQUANT_HOST_RESULT: result, SPINQUANT_HOST_SUITE: suite };
  const rig = await startRig({ release, env, restricted: suite === 'restricted' });
  try {
    await developIn(rig.page, rig.server.port, { extensions: [ROOT, ...helpers], tests });
    const said: string[] = [];
    const ended = exitOf(rig, said);
    await rig.page.goto(rig.server.url(folder), { waitUntil: 'domcontentloaded' });
    const code = await Promise.race([ended, sleep(LIMIT_MS, 'no end', { ref: false })]);
    const outcomes: HostTest[] = existsSync(result) ? JSON.parse(readFileSync(result, 'utf8')) : [];
    if (outcomes.length > 0) {
      await options.look?.(rig);
      return outcomes;
    }
    await screenshot(rig.page, 'host-suite-failed');
    throw new Error(`The extension host ran no suite (${code}):\n${said.join('\n')}\n${rig.server.log()}`);
  } finally {
    await rig.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The workbench calls these two functions of the page when a suite writes to the console and when it has ended. */
async function exitOf({ page }: Rig, said: string[]): Promise<number> {
  await page.exposeFunction('codeAutomationLog', (type: string, args: unknown[]) => {
    said.push(`${type}: ${args.map(String).join(' ')}`);
  });
  return new Promise((resolve) => {
    void page.exposeFunction('codeAutomationExit', (code: number) => resolve(code));
  });
}
