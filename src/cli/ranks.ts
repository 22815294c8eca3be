/** Commands that a launcher of MPI starts as several processes. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ranks } from '../engine/index.ts';
import { Cancelled, codeOf, UserError } from '../protocol/errors.ts';
import { formatBytes } from '../protocol/text.ts';
import { loadEngine } from './engine.ts';
import { EXIT, type ExitCode, reportFailure } from './failure.ts';
import { flushStdout, type Output, silenced } from './output.ts';

/** Commands that ranks share. */
const SHARED: readonly string[] = ['optimize', 'evaluate', 'run-step'];
/** Launchers of MPI leave such variables; without one there is nothing to ask. */
const TRACE = /^(OMPI|PMI|SLURM)_/;

/** False for a rank other than 0 of a command that ranks do not share: rank 0 does it alone. */
export async function hasPart([command = '']: readonly string[]): Promise<boolean> {
  if (SHARED.includes(command) || !Object.keys(process.env).some((name) => TRACE.test(name))) return true;
  return (await (await loadEngine()).startedRank()) === 0;
}

/** A rank that fails waits so long for the others to fail, too, before it ends them. */
const FAILED_SECONDS = 3;
/** Where a scheduler warned of the end, the others may have a checkpoint to write. */
const WARNED_SECONDS = 60;
/** Rank 0 has so long to tell before a launcher may end it. */
const TELLING_MS = 500;
/** A rank that is done waits so long: the others may still write. */
const DONE_SECONDS = 600;

/**
 * Does a command's work on all ranks that the launcher started; only rank 0 prints. Where all end, for whatever reason,
 * they end in order, and rank 0 tells. Where one fails alone, it tells and ends the others.
 * @returns the exit code of a rank that failed alone.
 */
export async function onRanks(
  output: Output,
  work: (ranks: Ranks, output: Output) => Promise<ExitCode | undefined>,
): Promise<ExitCode | undefined> {
  const engine = await loadEngine();
  let ranks: Ranks;
  try {
    ranks = await engine.joinRanks();
  } catch (error) {
    // A launcher ends all ranks when one fails: the one that tells must not be ended before.
    if (codeOf(error) === 'mpi/not-to-tell') return undefined;
    throw error;
  }
  if (ranks.size === 1) return work(ranks, output);
  let code: ExitCode | undefined;
  try {
    await engine.expectSameProgram(ranks);
    code = await work(ranks, ranks.leads ? output : silenced(output));
  } catch (error) {
    return failed(ranks, error, output);
  }
  const { sent, summed } = ranks.traffic;
  if (ranks.leads && summed > 0)
    output.note(`Each of ${ranks.size} ranks sent ${formatBytes(sent)} for sums of ${formatBytes(summed)}.`);
  await flushStdout();
  if (!(await ranks.leave(DONE_SECONDS))) ranks.abort(EXIT.bug);
  return code;
}

/** A signal that fires, too, when another rank was stopped. */
export function stoppedWith(ranks: Ranks, signal: AbortSignal): AbortSignal {
  return ranks.size === 1 ? signal : AbortSignal.any([signal, ranks.stopped]);
}

/** @throws the error on rank 0, where all ranks have ended; the others keep still. */
async function failed(ranks: Ranks, error: unknown, output: Output): Promise<ExitCode | undefined> {
  const isStopped = error instanceof Cancelled;
  const isWarned = isStopped && error.how === 'interrupted';
  const haveAllEnded = await ranks.leave(isWarned ? WARNED_SECONDS : FAILED_SECONDS);
  if (haveAllEnded && ranks.leads) throw error;
  // MPI is left in the middle of a wait. Launchers take that for a fault, and pass on the code of any rank.
  if (haveAllEnded && isStopped) {
    await sleep(TELLING_MS);
    return isWarned ? EXIT.again : EXIT.cancelled;
  }
  // The exit code is rank 0's: a launcher ends all when one fails, and rank 0 is about to tell.
  if (haveAllEnded && error instanceof UserError) return undefined;
  if (!ranks.leads) output.note(`Rank ${ranks.rank} of ${ranks.size}, on ${hostname()}:`);
  const told = reportFailure(error, output);
  const code = isWarned ? EXIT.again : told;
  await flushStdout();
  if (!haveAllEnded) ranks.abort(code);
  return code;
}
