/** The sources as the rules of the architecture see them. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const SRC = fileURLToPath(new URL('../../src', import.meta.url));

export interface Import {
  readonly specifier: string;
  /** `import('…')`, evaluated only when it is reached. */
  readonly dynamic: boolean;
  /** `import type`, gone at run time. */
  readonly typeOnly: boolean;
}

export interface Source {
  /** Relative to `src`, with `/`: `engine/plan/step.ts`. */
  readonly name: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

/** Every import of a TypeScript text. Comments and texts that look like one may be found too: they only make it stricter. */
export function importsOf(text: string): Import[] {
  const statements = /^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
  const calls = /\bimport\(\s*['"`]([^'"`]+)['"`]\s*\)/g;
  return [
    ...[...text.matchAll(statements)].map((match) => ({
      specifier: match[2]!,
      dynamic: false,
      typeOnly: match[1] !== undefined,
    })),
    ...[...text.matchAll(calls)].map((match) => ({ specifier: match[1]!, dynamic: true, typeOnly: false })),
  ];
}

export function sourceOf(name: string, text: string): Source {
  return { name, text, imports: importsOf(text) };
}

/** All sources below a folder of `src`. */
export function sourcesIn(folder = ''): Source[] {
  return readdirSync(join(SRC, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name).split(sep).join('/'))
    .map((name) => sourceOf(name, readFileSync(join(SRC, name), 'utf8')));
}

/** Returns where a relative import lands, relative to `src`; null for packages and files outside of `src`. */
export function landingOf({ name }: Source, { specifier }: Import): string | null {
  if (!specifier.startsWith('.')) return null;
  const inside = relative(SRC, resolve(SRC, dirname(name), specifier))
    .split(sep)
    .join('/');
  return inside.startsWith('..') ? null : inside;
}

/** The text without comments, so that rules look at code alone. */
export function codeOf({ text }: Source): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$|\s\/\/ .*$/gm, '');
}
