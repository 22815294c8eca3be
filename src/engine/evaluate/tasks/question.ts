/** A question of a task as the model meets it. */
export interface Question {
  readonly choices: readonly Choice[];
  /** The index of the right choice. */
  readonly gold: number;
  /** Where the question stands, for messages: `dev.jsonl:17`. */
  readonly place: () => string;
}

export interface Choice {
  /** The model reads this. */
  readonly context: string;
  /** Its likelihood behind the context is measured. */
  readonly continuation: string;
  /** Length of the choice alone in UTF-8 bytes, without the space before it: acc_norm divides by it. */
  readonly bytes: number;
}

/** Choices behind one context, each after a space, as lm-evaluation-harness puts them. */
export function choicesBehind(context: string, texts: readonly string[]): readonly Choice[] {
  return texts.map((text) => ({ context, continuation: ` ${text}`, bytes: Buffer.byteLength(text) }));
}
