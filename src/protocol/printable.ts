/** Names and messages come from files that other people made: what they hold must not act where it is shown. */

/** Control characters but for tab and newline, and characters that turn the direction of the text around them. */
const ACTING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Returns a text for a terminal: characters that act are written as `\u{1b}`. */
export function printable(text: string): string {
  return text.replace(ACTING, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Returns a value as indented JSON that a terminal may show; it parses to the same value. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    ACTING,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}

/** Returns a text that Markdown shows as it is: CommonMark allows a backslash before any ASCII punctuation. */
export function escapeMarkdown(text: string): string {
  return printable(text)
    .replace(/[!-/:-@[-`{-~]/g, '\\$&')
    .replace(/\s+/g, ' ');
}
