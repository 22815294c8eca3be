import { readEndTokens } from '../model/generation-config.ts';
import type { Workbench } from './workbench.ts';

/** Tokens that end a text. Where no file of the model names one, its tokenizer may. */
export function endTokensOf({
  checkpoint,
  tokenizer,
}: Pick<Workbench, 'checkpoint' | 'tokenizer'>): ReadonlySet<number> {
  const named = readEndTokens(checkpoint.dir);
  const own = tokenizer.eosId === null ? [] : [tokenizer.eosId];
  return new Set(named.length > 0 ? named : own);
}
