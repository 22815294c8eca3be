/** Methods and formats are named in one place and work in another: each name has its file, each file its name. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { METHODS, methodNamed, methodsOf } from '../../src/config/methods/index.ts';
import * as registry from '../../src/config/methods/registry.ts';
import { checkpointFormat } from '../../src/engine/checkpoint-export/index.ts';
import type { ExportFormat } from '../../src/engine/export/format.ts';
import { loadMethod } from '../../src/engine/methods/index.ts';
import { CHECKPOINT_FORMAT_NAMES, EXPORT_FORMAT_NAMES } from '../../src/protocol/export-formats.ts';

const SRC = join(import.meta.dirname, '..', '..', 'src');

/** Names of the modules in a folder of `src`, but for those that serve them all. */
function modulesIn(folder: string, ...shared: readonly string[]): string[] {
  const names = readdirSync(join(SRC, folder)).map((file) => file.replace(/\.ts$/, ''));
  for (const name of shared) assert.ok(names.includes(name), `${folder}/${name}.ts`);
  return names.filter((name) => !shared.includes(name)).sort();
}

const names = METHODS.map(({ name }) => name).sort();

test('every method has a descriptor and a module of its name, and each of these a method', () => {
  assert.ok(names.length > 1);
  assert.deepEqual(modulesIn('config/methods', 'descriptor', 'index', 'registry'), names);
  assert.deepEqual(modulesIn('engine/methods', 'index', 'method'), names);
});

test('a descriptor is registered under its own name', () => {
  assert.equal(new Set(names).size, names.length);
  for (const [name, descriptor] of Object.entries(registry)) {
    assert.equal(descriptor.name, name);
    assert.equal(methodNamed(name), descriptor);
    assert.ok(methodsOf(descriptor.kind).includes(descriptor));
  }
});

for (const { name, kind } of METHODS) {
  test(`${name}: its module exports a method of the same kind, and of no other`, async () => {
    const method = await loadMethod(name, kind);
    assert.equal(method.kind, kind);
    assert.ok(Number.isInteger(method.version) && method.version >= 1);
    const other = kind === 'rounding' ? 'scaling' : 'rounding';
    await assert.rejects(loadMethod(name, other), new RegExp(`${name}\\.ts exports no ${other} method`));
  });
}

test('a method that needs a text looks at one', async () => {
  for (const { name, needsText } of methodsOf('rounding')) {
    const { round } = await loadMethod(name, 'rounding');
    assert.ok(round !== null || needsText === null, name);
  }
  for (const { name, needsText } of methodsOf('scaling')) assert.ok(needsText !== null, name);
});

test('every format of an export has its module, and each module a format', async () => {
  assert.ok(EXPORT_FORMAT_NAMES.length > 1);
  assert.deepEqual(modulesIn('engine/export', 'format', 'index'), [...EXPORT_FORMAT_NAMES].sort());
  for (const name of EXPORT_FORMAT_NAMES) {
    const module: unknown = await import(`../../src/engine/export/${name}.ts`);
    assert.equal(typeof (module as { format?: ExportFormat }).format?.write, 'function', name);
  }
});

test('every format of a checkpoint has its module, and each module a format', async () => {
  assert.deepEqual(modulesIn('engine/checkpoint-export/formats'), [...CHECKPOINT_FORMAT_NAMES].sort());
  for (const name of CHECKPOINT_FORMAT_NAMES) {
    const format = await checkpointFormat(name);
    for (const work of [format.rows, format.write, format.readBack, format.usage])
      assert.equal(typeof work, 'function', name);
  }
});
