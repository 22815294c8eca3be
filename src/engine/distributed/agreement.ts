/** What must be the same on all ranks. */
import { hostname } from 'node:os';
import { UserError } from '../../protocol/errors.ts';
import { broadcastBytes, gatherTexts, type Ranks } from './ranks.ts';

/** Facts by their name for people. */
type Facts = Readonly<Record<string, string>>;

/**
 * Compares facts over ranks; to be called on all.
 * @throws UserError `mpi/ranks-differ`, on all ranks the same, with the first that differs.
 */
export async function expectSame(ranks: Ranks, facts: Facts): Promise<void> {
  if (ranks.size === 1) return;
  const all = await gatherTexts(ranks, JSON.stringify({ host: hostname(), facts }));
  // Each rank wrote its own with the line above.
  const places = all.map((text) => JSON.parse(text) as { readonly host: string; readonly facts: Facts });
  const first = places[0]!;
  for (const [rank, place] of places.entries()) {
    for (const name of new Set([...Object.keys(first.facts), ...Object.keys(place.facts)])) {
      const [one, other] = [first.facts[name] ?? 'none', place.facts[name] ?? 'none'];
      if (one === other) continue;
      throw new UserError(
        'mpi/ranks-differ',
        `The ranks differ in their ${name}: rank 0 on ${first.host} has ${one}, rank ${rank} on ${place.host} has ${other}.`,
        'All ranks must compute alike: give them the same installation, the same model, and machines of one kind.',
      );
    }
  }
}

/** Another rank fails for the same reason and tells it: this one ends without a word. */
export class NotToTell extends UserError {
  constructor() {
    super('mpi/not-to-tell', 'Another rank failed.', 'Its message tells why.');
  }
}

/**
 * Work that rank 0 does before the others do, because it leaves something behind: a download, say.
 * @throws NotToTell on the others where rank 0 fails.
 */
export async function leaderFirst<T>(ranks: Ranks, work: () => Promise<T>): Promise<T> {
  if (ranks.size === 1) return work();
  if (!ranks.leads) {
    await fromLeader(ranks, async () => '');
    return work();
  }
  const results: T[] = [];
  await fromLeader(ranks, async () => {
    results.push(await work());
    return '';
  });
  return results[0]!;
}

/**
 * A text that only rank 0 finds out.
 * @throws NotToTell on the others where rank 0 fails, and its own error there.
 */
export async function fromLeader(ranks: Ranks, work: () => Promise<string>): Promise<string> {
  if (ranks.size === 1) return work();
  if (!ranks.leads) {
    const answer = new TextDecoder().decode(await broadcastBytes(ranks, null));
    if (answer === '') throw new NotToTell();
    return answer.slice(1);
  }
  let answer = '';
  try {
    const text = await work();
    answer = `=${text}`;
    return text;
  } finally {
    await broadcastBytes(ranks, new TextEncoder().encode(answer));
  }
}
