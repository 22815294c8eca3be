import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import manifest from '../../package.json' with { type: 'json' };
import texts from '../../package.nls.json' with { type: 'json' };
import { panelNames } from '../../scripts/build-webview.mjs';
import { COMMAND_IDS, SETTINGS, TOOLS, VIEW_CONTAINER, VIEWS } from '../../src/protocol/ids.ts';
import { PANEL_NAMES, PANELS } from '../../src/protocol/panels/registry.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { contributes } = manifest;
const sorted = (values: readonly string[]) => [...values].sort();

test('the manifest and the code name the same commands, views, settings, tools and panels', () => {
  assert.deepEqual(sorted(contributes.commands.map(({ command }) => command)), sorted(COMMAND_IDS));
  assert.deepEqual(
    contributes.viewsContainers.activitybar.map(({ id }) => id),
    [VIEW_CONTAINER],
  );
  assert.deepEqual(
    sorted(contributes.views[VIEW_CONTAINER].map(({ id }) => id)),
    sorted(Object.values(VIEWS)),
  );
  assert.deepEqual(
    sorted(Object.keys(contributes.configuration.properties)),
    sorted(Object.values(SETTINGS)),
  );
  assert.deepEqual(
    sorted(contributes.languageModelTools.map(({ name }) => name)),
    sorted(Object.values(TOOLS)),
  );
});

test('each panel is in the registry, in a folder of webview and in the events that activate', () => {
  assert.deepEqual(sorted(panelNames()), sorted(PANEL_NAMES));
  const restored = manifest.activationEvents.filter((event) => event.startsWith('onWebviewPanel:'));
  const types = Object.values(PANELS).map(({ viewType }) => `onWebviewPanel:${viewType}`);
  assert.deepEqual(sorted(restored), sorted(types));
});

test('menus, welcome views and walkthroughs name commands that exist', () => {
  const known = new Set(COMMAND_IDS);
  const named = [...JSON.stringify(manifest).matchAll(/"command":"(spinquant\.\w+)"/g)].map(([, id]) => id!);
  const linked = [...JSON.stringify(texts).matchAll(/command:(spinquant\.\w+)/g)].map(([, id]) => id!);
  assert.ok(named.length > 30 && linked.length > 5);
  for (const id of [...named, ...linked]) assert.ok(known.has(id), id);
  const views = new Set<string>(Object.values(VIEWS));
  for (const { view } of contributes.viewsWelcome) assert.ok(views.has(view), view);
});

test('every text of the manifest can be translated, and every translation is used', () => {
  const used = [...JSON.stringify(manifest).matchAll(/"%([^"%]+)%"/g)].map(([, key]) => key!);
  assert.deepEqual(sorted([...new Set(used)]), sorted(Object.keys(texts)));
  const plain = textsOf(contributes).filter((text) => !/^%.+%$/.test(text));
  assert.deepEqual(plain, []);
});

/** Finds what people read, wherever it stands in the contributions. */
function textsOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (typeof value !== 'object' || value === null) return [];
  const readable = /^(title|displayName|userDescription|markdownDescription|contents|altText|category)$/;
  return Object.entries(value).flatMap(([key, child]) =>
    typeof child === 'string' && readable.test(key) ? [child] : textsOf(child),
  );
}

test('every text that the extension shows is a literal, so that it is found for translation', () => {
  for (const folder of ['src/extension', 'src/protocol/panels'])
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue;
      const calls = readFileSync(join(ROOT, folder, name), 'utf8').matchAll(/\bt\(\s*([^\s])/g);
      for (const [call, first] of calls) assert.match(first!, /['"]/, `${name}: ${call}`);
    }
});

test('pictures of the manifest are there', () => {
  const paths = [...JSON.stringify(manifest).matchAll(/"(?:\.\/)?(media\/[^"]+)"/g)].map(([, path]) => path!);
  assert.ok(paths.length >= 7);
  for (const path of paths) assert.ok(existsSync(join(ROOT, path)), path);
});
