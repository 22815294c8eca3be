/** Texts as Python treats them: the prompts of lm-evaluation-harness are made with its functions. */

/** What `str.isspace` counts; JavaScript's `\s` lacks the separators of ASCII, and has the byte order mark. */
const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const END = new RegExp(`[${SPACE}]+$`);
const START = new RegExp(`^[${SPACE}]+`);

export function rstrip(text: string): string {
  return text.replace(END, '');
}

export function strip(text: string): string {
  return rstrip(text).replace(START, '');
}

/** The first letter large, all others small. */
export function capitalize(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}
