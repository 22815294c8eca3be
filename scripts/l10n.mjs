/** This file collects the extension's texts for translators: `bundle.l10n.json` as `vscode.l10n` reads it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './project.mjs';

/** Folders whose texts are translated. */
const FOLDERS = ['src/extension', 'src/protocol/panels'];

/** The literal in `l10n.t('…')` or `t('…')`. */
const LITERAL = /\bt\(\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/g;

/** Maps each English text to itself; a translation replaces the second. */
export function messages() {
  const found = new Set();
  for (const text of FOLDERS.flatMap(sourcesIn))
    for (const match of text.matchAll(LITERAL)) found.add(unquote(match[1]));
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
