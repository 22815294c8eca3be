type JsonObject = Readonly<Record<string, unknown>>;

/** SentencePiece's visible space. */
const SPACE = '▁';

/** A word is a run of spaces and what follows: cuts lie before each `▁` that follows another character. */
const WORDS = {
  type: 'Split',
  pattern: { Regex: `${SPACE}*[^${SPACE}]+|${SPACE}+` },
  behavior: 'Isolated',
  invert: true,
};

/** Every space starts a word. A Metaspace pre-tokenizer means this unless it has `split: false`. */
const SINGLE_SPACES = { ...WORDS, pattern: { Regex: `${SPACE}[^${SPACE}]*|[^${SPACE}]+` } };

/**
 * Gives a SentencePiece-style `tokenizer.json` a pre-tokenizer that cuts text into words.
 *
 * Such files feed the whole text to BPE as one word, which takes many seconds per megabyte; words go through a cache.
 * The cut changes nothing when no merge rule joins a piece that ends in another character with one that starts with
 * `▁`. Then no merge spans a cut, and the merges on its two sides never meet. Otherwise the file is left as it is.
 *
 * A Metaspace pre-tokenizer splits by default (in the reference library), which the library used here leaves out.
 */
export function withWords(json: JsonObject): JsonObject {
  const pre = asObject(json.pre_tokenizer);
  const isMetaspace = pre?.type === 'Metaspace' && (pre.replacement ?? SPACE) === SPACE;
  if (isMetaspace && pre.split !== false) return withPreTokenizers(json, [pre, SINGLE_SPACES]);
  if (!(isMetaspace || pre === undefined) || !wordsAreIndependent(asObject(json.model))) return json;
  return withPreTokenizers(json, pre ? [pre, WORDS] : [WORDS]);
}

/**
 * Replaces Digits pre-tokenizers by the regular expression that they mean. The library used here takes 0–9 alone for
 * digits; the reference takes every number of Unicode (², ½, ٣).
 */
export function withNumbers(json: JsonObject): JsonObject {
  const pre = asObject(json.pre_tokenizer);
  return pre ? { ...json, pre_tokenizer: spellDigits(pre) } : json;
}

function spellDigits(pre: JsonObject): JsonObject {
  if (pre.type === 'Sequence' && Array.isArray(pre.pretokenizers))
    return { ...pre, pretokenizers: pre.pretokenizers.map(spellDigits) };
  if (pre.type !== 'Digits') return pre;
  const pattern = { Regex: pre.individual_digits === true ? '\\p{N}' : '\\p{N}+' };
  return { type: 'Split', pattern, behavior: 'Isolated', invert: false };
}

function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : undefined;
}

function withPreTokenizers(json: JsonObject, pretokenizers: readonly object[]): JsonObject {
  return { ...json, pre_tokenizer: { type: 'Sequence', pretokenizers } };
}

function wordsAreIndependent(model: JsonObject | undefined): boolean {
  // With these options, the model looks at whole words, not only at adjacent pieces.
  const plain = !model?.ignore_merges && !model?.end_of_word_suffix && !model?.continuing_subword_prefix;
  if (model?.type !== 'BPE' || !plain || !Array.isArray(model.merges)) return false;
  return model.merges.every((merge: unknown) => {
    const [left, right] = typeof merge === 'string' ? merge.split(' ', 2) : Array.isArray(merge) ? merge : [];
    return (
      typeof left === 'string' &&
      typeof right === 'string' &&
      (left.endsWith(SPACE) || !right.startsWith(SPACE))
    );
  });
}
