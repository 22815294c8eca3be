/** This file collects the extension's texts for translators: `bundle.l10n.json` as `vscode.l10n` reads it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.mjs';

/** These sources have texts, each with the call that translates them. */
const SOURCES = [
  { folder: 'src/extension', call: 'l10n\\.t' },
  { folder: 'src/protocol/panels', call: '\\bt' },
];

/** Maps each English text to itself; a translation replaces the second. */
export function messages() {
  const found = new Set();
  for (const { folder, call } of SOURCES) {
    const literal = new RegExp(`${call}\\(\\s*('(?:[^'\\\\]|\\\\.)*'|"(?:[^"\\\\]|\\\\.)*")`, 'g');
    for (const text of sourcesIn(folder))
      for (const match of text.matchAll(literal)) found.add(unquote(match[1]));
  }
  return Object.fromEntries([...found].sort().map((text) => [text, text]));
}

function sourcesIn(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(ROOT, folder, name), 'utf8'));
}

/** Reads a JavaScript literal in single or double quotes. */
function unquote(literal) {
  const inner = literal.slice(1, -1).replace(/\\(['"])/g, '$1');
  return JSON.parse(`"${inner.replace(/"/g, '\\"')}"`);
}
