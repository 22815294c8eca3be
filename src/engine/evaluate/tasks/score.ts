import { shareOf, type TaskScores } from '../../../protocol/task-scores.ts';
import type { Network } from '../../network/network.ts';
import type { EncodedQuestion, EncodedTask } from './encode.ts';
import { logLikelihoods } from './log-likelihoods.ts';

export interface ScoreProgress {
  readonly questionsDone: number;
  readonly questions: number;
  /** Share of right answers so far, by `acc`. */
  readonly runningAccuracy: number;
}

/** What a question came to. */
interface Result {
  readonly acc: boolean;
  readonly accNorm: boolean;
}

/**
 * Scores a task: the choice with the largest log-likelihood is the answer, for `acc_norm` after division by its bytes.
 * Of equal ones the first counts, as with `numpy.argmax`. Questions are done in the order of their lengths.
 * @param normalizes true where the task has `acc_norm`.
 * @throws UserError `evaluation/not-finite`.
 */
export async function* scoreTask(
  network: Network,
  task: EncodedTask,
  normalizes: boolean,
  signal?: AbortSignal,
): AsyncGenerator<ScoreProgress, TaskScores> {
  const { questions } = task;
  const open = new OpenQuestions(questions);
  let [done, acc, accNorm] = [0, 0, 0];
  for await (const found of logLikelihoods(network, task, signal)) {
    for (const result of open.add(found)) {
      done++;
      if (result.acc) acc++;
      if (result.accNorm) accNorm++;
    }
    yield { questionsDone: done, questions: questions.length, runningAccuracy: acc / Math.max(1, done) };
  }
  return {
    acc: shareOf(acc, questions.length),
    accNorm: normalizes ? shareOf(accNorm, questions.length) : null,
  };
}

/** Collects likelihoods until all choices of a question have theirs. */
class OpenQuestions {
  readonly #questions: readonly EncodedQuestion[];
  /** The question and the choice of each request. */
  readonly #owners: readonly { readonly question: number; readonly choice: number }[];
  readonly #found = new Map<number, number[]>();

  constructor(questions: readonly EncodedQuestion[]) {
    this.#questions = questions;
    this.#owners = questions.flatMap(({ requests }, question) =>
      requests.map((_, choice) => ({ question, choice })),
    );
  }

  /** @returns results of the questions that these likelihoods complete. */
  *add(likelihoods: ReadonlyMap<number, number>): Generator<Result> {
    for (const [request, value] of likelihoods) {
      const { question, choice } = this.#owners[request]!;
      const known = this.#found.get(question) ?? [];
      known[choice] = value;
      this.#found.set(question, known);
      const asked = this.#questions[question]!;
      if (Object.keys(known).length < asked.requests.length) continue;
      this.#found.delete(question);
      yield resultOf(asked, known);
    }
  }
}

/** @param likelihoods log-likelihoods of the choices. */
export function resultOf({ requests, gold }: EncodedQuestion, likelihoods: readonly number[]): Result {
  return {
    acc: firstLargest(likelihoods) === gold,
    accNorm: firstLargest(likelihoods.map((value, i) => value / requests[i]!.bytes)) === gold,
  };
}

function firstLargest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
}
