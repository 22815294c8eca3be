/** The product as a black box: its command line, in a process of its own. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Kill } from './experiments.ts';
import { isObject, type Json, type JsonObject, parseJson } from './json.ts';

/** Tries to kill a run in time, on a machine that is busy. */
const ATTEMPTS = 5;
const POLL_MS = 4;

export interface Product {
  /** A checkout that was built. */
  readonly root: string;
  readonly kernels: string;
}

export interface Answer {
  /** The document on stdout. */
  readonly document: JsonObject;
  /** Progress, for people. */
  readonly stderr: string;
}

function start({ root, kernels }: Product, args: readonly string[]) {
  const command = [join(root, 'dist', 'cli.js'), ...args, '--kernels', kernels, '--json'];
  return spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a command to its end. @throws Error with what it said, unless it succeeds. */
export async function ask(product: Product, args: readonly string[]): Promise<Answer> {
  const child = start(product, args);
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}:\n${said.stderr}`);
  const document = parseJson(said.stdout);
  if (!isObject(document)) throw new Error(`${args.join(' ')} printed no JSON object`);
  return { document, stderr: said.stderr };
}

/** Starts `optimize` and kills it at the moment asked for, again where it got further than that. */
export async function optimizeKilled(
  product: Product,
  experiment: string,
  runs: string,
  kill: Kill,
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const before = new Set(foldersIn(runs));
    const child = start(product, ['optimize', experiment]);
    child.stdout.resume();
    child.stderr.resume();
    const closed = new Promise<NodeJS.Signals | null>((resolve, reject) => {
      child.on('error', reject).on('close', (_code, signal) => resolve(signal));
    });
    const events = () =>
      foldersIn(runs)
        .filter((name) => !before.has(name))
        .flatMap((name) => readLog(join(runs, name)));
    while (child.exitCode === null && !isReached(events(), kill)) await setTimeout(POLL_MS);
    child.kill('SIGKILL');
    const inTime = (await closed) === 'SIGKILL';
    if (inTime && events().filter(({ type }) => type === 'step').length === kill.steps) return;
  }
  throw new Error(`${experiment}: not killed in time in ${ATTEMPTS} attempts`);
}

function isReached(events: readonly JsonObject[], { after, steps }: Kill): boolean {
  return events.some(({ type, step }) => type === after && (typeof step !== 'number' || step >= steps));
}

function foldersIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith('.')) : [];
}

/** All whole lines of the log of a run; none before there is one. */
export function readLog(run: string): JsonObject[] {
  const path = join(run, 'events.jsonl');
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line): Json => parseJson(line)).filter(isObject);
}
