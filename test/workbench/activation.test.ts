/**
 * Measures what the extension costs a window: CPU time until `activate` has returned, in a Node that has
 * loaded nothing yet. Time on the clock would also measure whatever else runs on the machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { PANELS } from '../../src/protocol/panels/registry.ts';
import { ROOT } from './rig/rig.ts';

const LIMIT_MS = 50;
const TRIES = 5;

/** Stands in for the editor: every name is a class, a function and an object of such. */
const PROGRAM = `
const Module = require('node:module');
const restorable = [];
const anything = new Proxy(class {}, {
  get: (target, name) =>
    name === 'prototype' ? target.prototype : name === 'then' ? undefined : name === Symbol.toPrimitive ? () => '' :
    name === Symbol.iterator ? () => [][Symbol.iterator]() :
    name === 'registerWebviewPanelSerializer' ? (type) => restorable.push(type) : anything,
  apply: () => anything,
  construct: () => anything,
});
const load = Module._load;
Module._load = (name, ...rest) => (name === 'vscode' ? Object.create(anything) : load(name, ...rest));
const before = process.cpuUsage();
const { activate } = require(process.argv[1]);
activate({ subscriptions: [], extensionPath: '', extensionUri: anything, workspaceState: { get() {} } });
const { user, system } = process.cpuUsage(before);
const loaded = Object.keys(require.cache).filter((path) => path.includes('onnxruntime'));
console.log(JSON.stringify({ milliseconds: (user + system) / 1000, loaded, restorable }));
process.exit();
`;

test('the extension activates in under 50 ms and does not load ONNX Runtime', () => {
  const runs = Array.from({ length: TRIES }, activateOnce);
  for (const { loaded, restorable } of runs) {
    assert.deepEqual(loaded, []);
    // All of it was measured: panels that were open can be handed back.
    assert.deepEqual(
      restorable.sort(),
      Object.values(PANELS)
        .map(({ viewType }) => viewType)
        .sort(),
    );
  }
  const fastest = Math.min(...runs.map(({ milliseconds }) => milliseconds));
  assert.ok(fastest < LIMIT_MS, `${fastest} ms of CPU time`);
});

function activateOnce(): { milliseconds: number; loaded: string[]; restorable: string[] } {
  const bundle = join(ROOT, 'dist', 'extension.cjs');
  return JSON.parse(execFileSync(process.execPath, ['-e', PROGRAM, bundle], { encoding: 'utf8' }));
}
