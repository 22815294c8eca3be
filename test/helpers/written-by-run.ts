import type { ResolvedExperiment } from '../../src/config/index.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import { findWriter, generateText } from '../../src/engine/index.ts';

/** The ids of four tokens that a run writes behind a prompt. @param runs folder in which it is looked for. */
export async function idsWrittenBy(
  run: string,
  runs: ResolvedExperiment['runs'],
): Promise<readonly number[]> {
  const from = await findWriter(run, runs);
  const prompt = { text: 'once upon a time', chat: null };
  const rest = { tokens: 4, choice: MOST_LIKELY, seed: 0, stops: [], cacheBits: null, simulated: false };
  const writing = generateText({ from, prompt, ...rest }, {});
  let next = await writing.next();
  while (!next.done) next = await writing.next();
  return next.value.ids;
}
