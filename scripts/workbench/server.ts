import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installServer, type Release } from './install.ts';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 5_000;
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** With these settings, nothing opens by itself, asks a question or calls home. */
const QUIET_SETTINGS = {
  'chat.disableAIFeatures': true,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
};

const RESTRICTED = {
  'security.workspace.trust.enabled': true,
  'security.workspace.trust.startupPrompt': 'never',
};

export interface ServerOptions {
  /** The release of VS Code; the newest by default. */
  readonly release?: Release;
  /** The unpacked extensions in these folders are installed from the start. */
  readonly extensions?: readonly string[];
  /** True where a folder must be trusted before a whole extension works in it; no folder is, and nobody is asked. */
  readonly restricted?: boolean;
  /** User settings besides the quiet ones. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The environment of the server, and so of the extension host. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Server {
  readonly port: number;
  readonly pid: number;
  /** It holds user data, extensions and log, until `stop`. */
  readonly dir: string;
  /** Returns the workbench's address with that folder open: a path, or the URI of a folder from an extension. */
  url(folder: string): string;
  log(): string;
  stop(): Promise<void>;
}

/** Starts the browser-hosted VS Code on a free port of 127.0.0.1, with its own user data, and waits for its answer. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { node, entry } = await installServer(options.release);
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-workbench-'));
  const port = await freePort();
  const logPath = join(dir, 'server.log');
  const log = openSync(logPath, 'w');
  const child = spawn(node, [entry, ...prepare(dir, port, options)], {
    // It has its own group, so that one signal ends the extension host and its children too.
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...withoutNpm(process.env), ...options.env },
  });
  const forget = endWithUs(child, dir);
  const server: Server = {
    port,
    pid: child.pid!,
    dir,
    url: (folder) => `http://127.0.0.1:${port}/?${new URLSearchParams({ folder })}`,
    log: () => readFileSync(logPath, 'utf8'),
    stop: async () => {
      await end(child);
      forget();
      remove(dir);
    },
  };
  await waitUntilHealthy(server, child);
  return server;
}

/** Writes settings and links extensions. @returns the command line. */
function prepare(dir: string, port: number, options: ServerOptions): string[] {
  const [userData, extensions, config] = [
    join(dir, 'user-data'),
    join(dir, 'extensions'),
    join(dir, 'config.yaml'),
  ];
  mkdirSync(join(userData, 'User'), { recursive: true });
  mkdirSync(extensions);
  const trust = options.restricted ? RESTRICTED : {};
  const settings = { ...QUIET_SETTINGS, ...trust, ...options.settings };
  writeFileSync(join(userData, 'User', 'settings.json'), JSON.stringify(settings, null, 2));
  writeFileSync(config, 'auth: none\n');
  for (const folder of options.extensions ?? []) {
    const { publisher, name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    symlinkSync(folder, join(extensions, `${publisher}.${name}-${version}`));
  }
  const flags = [
    ...['disable-telemetry', 'disable-update-check', 'disable-getting-started-override'],
    ...(options.restricted ? [] : ['disable-workspace-trust']),
  ];
  return [
    ...['--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, '--config', config],
    ...['--user-data-dir', userData, '--extensions-dir', extensions],
    ...flags.map((flag) => `--${flag}`),
  ];
}

async function waitUntilHealthy(server: Server, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  while (!(await isHealthy(server.port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const log = server.log().slice(-2000);
      await server.stop();
      throw new Error(`The workbench server did not start (${basename(server.dir)}):\n${log}`);
    }
    await sleep(100);
  }
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/healthz`)).ok;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Under `npm test`, npm's settings are in the environment. A terminal in the workbench must not inherit them. */
function withoutNpm(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^npm_(config|package|lifecycle)/i.test(name)),
  );
}

/** The server ends with this process, however that ends. @returns a function to call once the server has ended. */
function endWithUs(child: ChildProcess, dir: string): () => void {
  const end = () => {
    signalGroup(child, 'SIGKILL');
    remove(dir);
  };
  const exit = () => process.exit(1);
  process.once('exit', end);
  for (const signal of ENDING_SIGNALS) process.once(signal, exit);
  return () => {
    process.off('exit', end);
    for (const signal of ENDING_SIGNALS) process.off(signal, exit);
  };
}

function remove(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

async function end(child: ChildProcess): Promise<void> {
  const exited = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
  signalGroup(child, 'SIGTERM');
  await Promise.race([exited, sleep(STOP_LIMIT_MS, undefined, { ref: false })]);
  signalGroup(child, 'SIGKILL');
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
