/** Kills a command at a moment of a phase. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PhaseName, RunEvent } from '../../src/protocol/events.ts';
import { eventSchema } from '../../src/runs/event-schema.ts';
import { RUN_FILES } from '../../src/runs/index.ts';
import { type Ended, spinquant } from '../cli/spinquant.ts';

/** `start` is before any phase: sources are loaded, the run's folder is made or claimed. */
export type Moment = PhaseName | 'start';

export interface Kill {
  readonly moment: Moment;
  /** After the beginning of the phase. */
  readonly delayMs: number;
}

/** A line may be half written just now. */
function eventsOf(dir: string): RunEvent[] {
  const path = join(dir, RUN_FILES.events);
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [eventSchema.parse(JSON.parse(line))];
      } catch {
        return [];
      }
    });
}

/** The folders of the runs of a workspace, oldest first. */
export function runFolders(workspace: string): string[] {
  const runs = join(workspace, 'runs');
  return existsSync(runs)
    ? readdirSync(runs)
        .filter((name) => /^\d{8}T/.test(name))
        .sort()
        .map((name) => join(runs, name))
    : [];
}

function hasBegun(workspace: string, moment: Moment, since: string): boolean {
  if (moment === 'start') return true;
  return runFolders(workspace).some((dir) =>
    eventsOf(dir).some(
      (event) =>
        event.type === 'phase' && event.phase === moment && event.state === 'started' && event.time >= since,
    ),
  );
}

/** Runs a command, and kills it at that moment if it comes to it. */
export function runAndKill(args: readonly string[], workspace: string, kill: Kill | null): Promise<Ended> {
  if (kill === null) return spinquant(args, workspace);
  const since = new Date().toISOString();
  return spinquant(args, workspace, (child: ChildProcess) => {
    let timer = setInterval(() => {
      if (!hasBegun(workspace, kill.moment, since)) return;
      clearInterval(timer);
      timer = setTimeout(() => child.kill('SIGKILL'), kill.delayMs);
    }, 2);
    child.on('close', () => clearInterval(timer));
  });
}

/** How long each phase took, in milliseconds. */
export function phasesOf(dir: string): Partial<Record<Moment, number>> {
  const took: Partial<Record<Moment, number>> = {};
  for (const event of eventsOf(dir))
    if (event.type === 'phase' && event.state === 'finished')
      took[event.phase] = (took[event.phase] ?? 0) + 1000 * (event.seconds ?? 0);
  return took;
}
