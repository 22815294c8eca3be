/** The door of this folder. Every part is loaded when it is first asked for. */
import type { Ranks } from './ranks.ts';

export type { Ranks } from './ranks.ts';

/** The processes that a launcher of MPI started this one with; one where it was started alone. To be called once. */
export async function joinRanks(): Promise<Ranks> {
  return (await import('./join.ts')).joinRanks();
}

/** Compares the programs of the ranks. @throws UserError `mpi/ranks-differ`. */
export async function expectSameProgram(ranks: Ranks): Promise<void> {
  return (await import('./join.ts')).expectSameProgram(ranks);
}

/** The number that a launcher gave this process, without joining the others; 0 where it was started alone. */
export async function startedRank(): Promise<number> {
  return (await import('./launcher.ts')).launcherOf(process.env)?.rank ?? 0;
}

/** Work that rank 0 does before the others. */
export async function leaderFirst<T>(ranks: Ranks, work: () => Promise<T>): Promise<T> {
  return (await import('./agreement.ts')).leaderFirst(ranks, work);
}

/** A text that only rank 0 finds out. */
export async function fromLeader(ranks: Ranks, work: () => Promise<string>): Promise<string> {
  return (await import('./agreement.ts')).fromLeader(ranks, work);
}
