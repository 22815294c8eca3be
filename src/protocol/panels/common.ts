/** The common part of every panel's contract. The host sends complete states; a panel sends intents, which the host checks. */
import { z } from 'zod';

/** Host → panel. */
export interface StateMessage<State> {
  readonly type: 'state';
  readonly state: State;
  /** More will follow soon: a page may leave this one out. */
  readonly isLive?: boolean;
}

export type RunState = 'running' | 'finished' | 'paused' | 'cancelled' | 'interrupted' | 'failed';

/** A run as pickers, legends and headings name it. */
export interface RunName {
  /** Absolute path of the run folder: the run's identity. */
  readonly dir: string;
  /** The person's name for it; else that of its cell, or its experiment's with the time. */
  readonly name: string;
  /** The name with the setting of bits, for headings. */
  readonly title: string;
  /** Setting, such as `W4A4KV4`. */
  readonly bits: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
}

/** A fault in the person's words: what happened and what to do next. */
export interface Problem {
  readonly message: string;
  readonly hint: string;
}

/** What stands in the place of a panel's content: what it waits for, or why there is none. */
export interface Notice {
  readonly kind: 'work' | 'problem';
  readonly title: string;
  readonly text: string;
}

/** Translates an English text; placeholders are `{0}`, `{1}` … `vscode.l10n.t` is one. */
export type Translate = (message: string) => string;

/** Paths longer than any file system allows are not paths. */
export const runDirSchema = z.string().min(1).max(4096);

/** The panel has loaded and waits for its first state. */
export const readySchema = z.strictObject({ type: z.literal('ready') });

/** A button of an empty state: the command that brings something to show. */
export const beginSchema = z.strictObject({
  type: z.literal('begin'),
  what: z.enum(['new-experiment', 'optimize', 'newest']),
});

/** A picture of a chart for a file: text, or the bytes of a PNG in base64. */
export const pictureSchema = z.strictObject({
  type: z.literal('picture'),
  format: z.enum(['svg', 'png', 'vega-lite']),
  name: z.string().min(1).max(100),
  content: z.string().max(64 * 1024 * 1024),
});

/** The numbers of a chart for the clipboard, their columns apart by tabs. */
export const valuesSchema = z.strictObject({
  type: z.literal('values'),
  text: z.string().max(64 * 1024 * 1024),
});

/** The intents that every panel sends beside its own. */
export type CommonIntent =
  | z.output<typeof readySchema>
  | z.output<typeof beginSchema>
  | z.output<typeof pictureSchema>
  | z.output<typeof valuesSchema>;
export type OwnIntent<Intent> = Exclude<Intent, CommonIntent>;

/** @returns the intent, or null for anything a panel of this version would not send. */
export function parseIntent<Intent>(schema: z.ZodType<Intent>, value: unknown): Intent | null {
  const result = schema.safeParse(value);
  return result.success ? result.data : null;
}
