import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import test from 'node:test';
import { importsOf, SRC, sourcesIn } from './sources.ts';

/** Which folders of `src` each folder may import from, itself included. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  protocol: ['protocol'],
  disk: ['disk', 'protocol'],
  hub: ['hub', 'disk', 'protocol'],
  config: ['config', 'hub', 'disk', 'protocol'],
  formats: ['formats', 'disk', 'protocol'],
  runs: ['runs', 'formats', 'config', 'disk', 'protocol'],
  engine: ['engine', 'runs', 'formats', 'config', 'hub', 'disk', 'protocol'],
  worker: ['worker', 'engine', 'runs', 'formats', 'config', 'disk', 'protocol'],
  cli: ['cli', 'engine', 'runs', 'formats', 'config', 'disk', 'protocol'],
  extension: ['extension', 'runs', 'config', 'disk', 'protocol'],
};

function sources() {
  return sourcesIn().map(({ name, imports }) => ({
    path: join(SRC, name),
    folder: name.split('/')[0]!,
    imports,
  }));
}

/** The folder of `src` that a relative import lands in; null for packages and files outside `src`. */
function landsIn(from: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  const inside = relative(SRC, resolve(dirname(from), specifier));
  return inside.startsWith('..') ? null : inside.split(/[\\/]/)[0]!;
}

/** A broken arrow in words, or null. */
function arrowFault(path: string, folder: string, specifier: string): string | null {
  const target = landsIn(path, specifier);
  if (target !== null && !ALLOWED[folder]!.includes(target))
    return `${relative(SRC, path)} imports ${specifier}: ${folder} may not see ${target}`;
  if (specifier === 'vscode' && folder !== 'extension')
    return `${relative(SRC, path)} imports vscode: only extension may`;
  return null;
}

test('the rule finds what it should', () => {
  assert.deepEqual(
    importsOf(
      `import type { A } from './a.ts';\nimport {\n  b,\n} from "../b.ts";\nexport * from './c.ts';\nimport 'd';\nconst e = await import('../e.ts');`,
    ),
    [
      { specifier: './a.ts', dynamic: false, typeOnly: true },
      { specifier: '../b.ts', dynamic: false, typeOnly: false },
      { specifier: './c.ts', dynamic: false, typeOnly: false },
      { specifier: 'd', dynamic: false, typeOnly: false },
      { specifier: '../e.ts', dynamic: true, typeOnly: false },
    ],
  );
  const file = join(SRC, 'config', 'x.ts');
  assert.match(arrowFault(file, 'config', '../runs/index.ts') ?? '', /config may not see runs/);
  assert.match(arrowFault(file, 'config', 'vscode') ?? '', /only extension/);
  assert.equal(arrowFault(file, 'config', '../protocol/errors.ts'), null);
});

test('imports go one way', () => {
  const files = sources();
  assert.ok(files.length > 20);
  for (const { folder, path } of files)
    assert.ok(
      folder.endsWith('.ts') || folder in ALLOWED,
      `${relative(SRC, path)}: a folder that has no arrows yet`,
    );
  const faults = files
    .filter(({ folder }) => folder in ALLOWED)
    .flatMap(({ path, folder, imports }) =>
      imports.map(({ specifier }) => arrowFault(path, folder, specifier)),
    )
    .filter((fault) => fault !== null);
  assert.deepEqual(faults, []);
});

test('the command line starts without the engine', () => {
  const reached = staticClosure(join(SRC, 'cli', 'main.ts'));
  const heavy = [...reached].filter((path) =>
    /^(engine|formats|runs|config|hub)\b/.test(relative(SRC, path)),
  );
  assert.deepEqual(heavy, []);
  assert.ok(reached.size > 3);
});

/** All files that are evaluated when a file is: static imports, not `import type`, not `import()`. */
function staticClosure(entry: string): Set<string> {
  const reached = new Set<string>();
  const open = [entry];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const { specifier, dynamic, typeOnly } of importsOf(readFileSync(path, 'utf8'))) {
      const next = resolve(dirname(path), specifier);
      if (specifier.startsWith('.') && next.endsWith('.ts') && !dynamic && !typeOnly && existsSync(next))
        open.push(next);
    }
  }
  return reached;
}
