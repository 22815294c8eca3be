/** The inner order of the engine, and what no part of it may know. Each rule also meets a source that breaks it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { METHODS } from '../../src/config/index.ts';
import { codeOf, landingOf, type Source, SRC, sourceOf, sourcesIn } from './sources.ts';

/** The folders of the engine; each may import from those before its own level, and from itself. */
const LEVELS: readonly (readonly string[])[] = [
  ['model', 'rotation', 'runtime', 'scheduler'],
  ['distributed'],
  ['graph'],
  ['autodiff', 'export'],
  ['network'],
  ['calibration'],
  ['transform', 'rounding', 'generate', 'training', 'attribution'],
  ['methods', 'evaluate', 'onnx-export'],
  ['speed', 'checkpoint-export'],
  ['plan'],
  ['index.ts'],
];

interface Rule {
  readonly what: string;
  /** A fault in words, or null. */
  readonly faultOf: (source: Source) => string | null;
  /** A source that breaks the rule. */
  readonly broken: Source;
}

const folderOf = (name: string): string => name.split('/')[1] ?? '';
const levelOf = (folder: string): number => LEVELS.findIndex((level) => level.includes(folder));

/** A rule that forbids a pattern in code, but for some files. */
function forbidden(
  what: string,
  pattern: RegExp,
  allowed: readonly RegExp[],
  broken: readonly [name: string, text: string],
): Rule {
  return {
    what,
    faultOf(source) {
      if (allowed.some((names) => names.test(source.name))) return null;
      const found = pattern.exec(codeOf(source));
      return found && `${source.name}: ${found[0].trim()}`;
    },
    broken: sourceOf(...broken),
  };
}

const RULES: readonly Rule[] = [
  {
    what: 'imports go from later folders to earlier ones',
    faultOf(source) {
      const own = folderOf(source.name);
      const bad = source.imports.find((one) => {
        const target = landingOf(source, one);
        if (!target?.startsWith('engine/')) return false;
        const folder = folderOf(target);
        return folder !== own && levelOf(folder) >= levelOf(own);
      });
      return bad ? `${source.name} imports ${bad.specifier}` : null;
    },
    broken: sourceOf('engine/calibration/x.ts', "import type { Workbench } from '../plan/workbench.ts';"),
  },
  {
    what: 'a method knows no other method',
    faultOf(source) {
      if (!/^(engine|config)\/methods\//.test(source.name)) return null;
      if (/\/(index|registry)\.ts$/.test(source.name)) return null;
      const bad = source.imports.find((one) => {
        const target = landingOf(source, one) ?? '';
        return /^(engine|config)\/methods\/(?!method|descriptor)/.test(target);
      });
      return bad ? `${source.name} imports ${bad.specifier}` : null;
    },
    broken: sourceOf('engine/methods/awq.ts', "import { method } from './gptq.ts';"),
  },
  forbidden(
    'only the plan reads an experiment',
    /\b(Resolved)?Experiment\b/,
    [/^engine\/(plan\/|index\.ts)/],
    ['engine/rounding/x.ts', "import type { ResolvedExperiment } from '../../config/index.ts';"],
  ),
  forbidden(
    'only the plan makes and writes run folders',
    /\b(createRun|recordRun|writeActivations|writeResults|setProvenance|appendEvent)\b/,
    [/^engine\/plan\//],
    ['engine/methods/x.ts', 'run.writeResults(results);'],
  ),
  forbidden(
    'only graph/lower asks what a runtime has',
    /multipliesBfloat16|\.kernels [!=]==|device\.kind [!=]==/,
    [/^engine\/(graph\/lower|runtime)\//],
    ['engine/network/x.ts', "if (runtime.kernels === 'native') return;"],
  ),
  forbidden(
    'no key of a program is written by hand',
    /\bcache\.get\(\s*[`'"]/,
    [],
    ['engine/transform/x.ts', 'const program = await cache.get(`cayley`, compile);'],
  ),
  forbidden(
    'R1 to R4 have names in the table of seams, in files of rotations, and where an experiment is read',
    /\b[rR][1-4]\b/,
    [/^engine\/(network\/seams\.ts|rotation\/|export\/|plan\/|model\/)/],
    ['engine/calibration/x.ts', 'const { r1, r2 } = rotations;'],
  ),
  forbidden(
    'sites are listed in protocol/block.ts alone',
    /\[\s*'attention-input',\s*'(query|mlp-input|o-input|key)'/,
    [],
    ['engine/calibration/x.ts', "const SITES = ['attention-input', 'query', 'key'];"],
  ),
  forbidden(
    'files for other tools are written by engine/export',
    /\bwriteTorchTensors\b/,
    [/^engine\/(export|rotation|checkpoint-export)\//],
    ['engine/plan/x.ts', "import { writeTorchTensors } from '../../formats/torch-zip-write.ts';"],
  ),
  forbidden(
    'nothing names a method but its own files',
    new RegExp(
      `['"](${METHODS.filter(({ paper }) => paper)
        .map(({ name }) => name)
        .join('|')})['"]`,
    ),
    [
      /^config\/methods\/|^engine\/(methods\/|rounding\/(gptq|quip|awq-clip)\/|transform\/(awq|flatquant|omniquant)\/|plan\/steps\/old-rounding-key\.ts)/,
    ],
    ['engine/plan/x.ts', "if (method === 'gptq') return;"],
  ),
];

const engine = sourcesIn('engine');

test('every folder of the engine has its level', () => {
  const unknown = [...new Set(engine.map(({ name }) => folderOf(name)))].filter(
    (folder) => levelOf(folder) < 0,
  );
  assert.deepEqual(unknown, []);
  assert.ok(engine.length > 100);
});

for (const { what, faultOf, broken } of RULES) {
  test(`${what}`, () => {
    assert.notEqual(faultOf(broken), null, 'the rule finds what it should');
    assert.deepEqual(
      [...engine, ...sourcesIn('config/methods')].map(faultOf).filter((fault) => fault !== null),
      [],
    );
  });
}

test('front doors see one file of the engine', () => {
  const faultOf = (source: Source): string[] =>
    source.imports
      .filter((one) => /^engine\/(?!index\.ts$)/.test(landingOf(source, one) ?? ''))
      .map(({ specifier }) => `${source.name} imports ${specifier}`);
  const broken = sourceOf(
    'cli/x.ts',
    "const { importGguf } = await import('../engine/model/import-gguf.ts');",
  );
  assert.equal(faultOf(broken).length, 1);
  const doors = ['cli', 'worker', 'extension'].flatMap((folder) => sourcesIn(folder));
  assert.deepEqual(doors.flatMap(faultOf), []);
});

test('front doors make no run', () => {
  const calls = /\b(createRun|recordRun)\(/;
  assert.match('const run = createRun(experiment, slug);', calls);
  const doors = ['cli', 'worker', 'extension'].flatMap((folder) => sourcesIn(folder));
  assert.deepEqual(
    doors.filter((source) => calls.test(codeOf(source))).map(({ name }) => name),
    [],
  );
});

test('any step is at most three files from the door', () => {
  const byName = new Map(engine.map((source) => [source.name, source]));
  const reached = new Map([['engine/index.ts', 0]]);
  for (const [name, depth] of reached)
    for (const one of byName.get(name)?.imports ?? []) {
      const target = landingOf({ name, text: '', imports: [] }, one);
      if (target && byName.has(target) && !reached.has(target)) reached.set(target, depth + 1);
    }
  const steps = engine.map(({ name }) => name).filter((name) => name.startsWith('engine/plan/steps/'));
  assert.ok(steps.length > 3);
  assert.deepEqual(
    steps.filter((name) => !name.includes('old-') && (reached.get(name) ?? 9) > 3),
    [],
  );
});

test('files can be held in the head', () => {
  const root = join(SRC, '..');
  const files = ['src', 'webview', 'test', 'scripts', 'bench'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(m?ts|mjs|css)$/.test(name))
      .map((name) => join(folder, name)),
  );
  assert.ok(files.length > 600);
  const long = files
    .map((name) => ({ name, lines: readFileSync(join(root, name), 'utf8').split('\n').length }))
    .filter(({ lines }) => lines > 400);
  assert.deepEqual(long, []);
});
