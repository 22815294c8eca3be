/** Functions can be held in the head. They are found by TypeScript's own parser. */
import assert from 'node:assert/strict';
import { join, relative, sep } from 'node:path';
import test from 'node:test';
import type { Node, SourceFile } from 'typescript/unstable/ast';
import { isFunctionLikeDeclaration } from 'typescript/unstable/ast/is';
import { API } from 'typescript/unstable/sync';
import { SRC, sourcesIn } from './sources.ts';

const ROOT = join(SRC, '..');
const MOST_LINES = 50;

/** `known` functions at least have more than half as many lines. */
const PROJECTS = [
  { folder: 'src', project: 'tsconfig.json', known: 100 },
  { folder: 'webview', project: join('webview', 'tsconfig.json'), known: 20 },
];

/** Where a function begins and how many lines it has, for each that has too many. */
function longIn(file: SourceFile, most: number): { readonly line: number; readonly lines: number }[] {
  const lineOf = (position: number): number => file.text.slice(0, position).split('\n').length;
  const found: { line: number; lines: number }[] = [];
  const look = (node: Node): void => {
    if (isFunctionLikeDeclaration(node)) {
      // Without the comment in front of it.
      const line = lineOf(node.getStart(file));
      const lines = lineOf(node.end) - line + 1;
      if (lines > most) found.push({ line, lines });
    }
    node.forEachChild(look);
  };
  file.forEachChild(look);
  return found;
}

test(`no function has more than ${MOST_LINES} lines`, (t) => {
  for (const { folder, project: openProject, known } of PROJECTS) {
    const api = new API();
    t.after(() => api.close());
    const [project] = api.updateSnapshot({ openProject: join(ROOT, openProject) }).getProjects();
    assert.ok(project);
    const longerThan = (most: number): string[] =>
      sourcesIn(join('..', folder)).flatMap(({ name }) => {
        if (name.endsWith('.d.ts')) return [];
        const path = join(SRC, name);
        const file = project.program.getSourceFile(path.split(sep).join('/'));
        assert.ok(file, `${path} belongs to the project`);
        return longIn(file, most).map(
          ({ line, lines }) => `${relative(ROOT, path)}:${line} has ${lines} lines`,
        );
      });
    assert.ok(longerThan(MOST_LINES / 2).length > known, 'the rule finds what it should');
    assert.deepEqual(longerThan(MOST_LINES), []);
  }
});
