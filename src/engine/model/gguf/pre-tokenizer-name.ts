import { preTokenizer as schema } from '../tokenizer/components.ts';
import type { TokenizerFile } from '../tokenizer/file.ts';
import { buildNormalizer } from '../tokenizer/normalizers.ts';
import { buildPreTokenizer } from '../tokenizer/pre-tokenizers.ts';
import { PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';

/**
 * It differs between any two rules of the table: letters of several scripts, cases, digits, signs, line ends, spaces,
 * contractions, and letters of two characters that NFC makes one.
 */
export const PROBE =
  "Hello, World! it's I'LL we'Re DON'T 1 12 123 1234567 3.14 e\u0301 \u00e9 na\u00efve  two   spaces\n\nlines\r\n \n\t tab " +
  'camelCase HTTPServer x_y $a+b=c^2~`<>| /path/to//file.py #tag @me (a) [b] {c} ; : ... !!! ?? -- — “q” … ' +
  '你好，世界。中文123 カタカナ ひらがな 한국어 русский текст Ελληνικά العربية؟ हिन्दी ไทย 🙂👍🏽 ½ ² Ⅷ ٣ \n  end\t\t\n' +
  'if (x) {\n  a[0] = "b";\r\n}; -\n/ ?/\n , \n…\n。\n ²’\'\n';

/** Words of the probe by each rule of the table; names share rules. */
const wordsOfRules = new Map<PreTokenizer, readonly string[]>();

/** The name of the rule that cuts and normalizes texts as a tokenizer does; null where there is none. */
export function preTokenizerName(file: TokenizerFile, ignoreMerges: boolean): string | null {
  const wanted = wordsBy(file);
  const found = Object.entries(PRE_TOKENIZERS).find(([, rule]) => {
    if (rule.ignoreMerges !== ignoreMerges) return false;
    const words = wordsOf(rule);
    return words.length === wanted.length && words.every((word, i) => word === wanted[i]);
  });
  return found?.[0] ?? null;
}

function wordsOf(rule: PreTokenizer): readonly string[] {
  const known = wordsOfRules.get(rule);
  if (known) return known;
  const words = wordsBy({
    normalizer: rule.normalizer === null ? null : { type: 'NFC' },
    preTokenizer: schema.parse(rule.preTokenizer),
  });
  wordsOfRules.set(rule, words);
  return words;
}

function wordsBy({ normalizer, preTokenizer }: Pick<TokenizerFile, 'normalizer' | 'preTokenizer'>): string[] {
  const text = buildNormalizer(normalizer)(PROBE);
  return buildPreTokenizer(preTokenizer)([{ text, first: true }]).map((piece) => piece.text);
}
