/** Folders for what is not kept: whose process is gone, they go; whose process may be at work, they stay. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { makeScratchFolder } from '../../src/engine/plan/scratch-folder.ts';

function emptyFolder(t: { after(done: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-scratch-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly table?: string;
}

/** What a process leaves that gave its last sign of life some seconds ago. */
function leave(parent: string, name: string, { pid, host, table }: Owner, secondsAgo = 0): string {
  const folder = join(parent, `.rounded-${name}`);
  mkdirSync(join(folder, 'lock'), { recursive: true });
  mkdirSync(join(folder, 'files'));
  const path = join(folder, 'lock', '00000001.json');
  const owner = { pid, host, startTicks: null, ...(table !== undefined && { table }) };
  const about = { version: 1, token: 'x', since: new Date().toISOString(), released: null };
  writeFileSync(path, `\n${JSON.stringify({ ...about, process: owner })}`);
  const then = Date.now() / 1000 - secondsAgo;
  utimesSync(path, then, then);
  return folder;
}

test('what a killed process left is removed, and nothing of one that may be at work', async (t) => {
  const parent = emptyFolder(t);
  const pid = spawnSync(process.execPath, ['-e', '']).pid;
  const host = hostname();
  const killed = leave(parent, 'killed', { pid, host });
  const lost = leave(parent, 'lost', { pid, host: 'build-7', table: 'another boot' }, 3600);
  const atWork = leave(parent, 'here', { pid: process.pid, host });
  // Containers can share a name, and none sees the processes of another.
  const container = leave(parent, 'container', { pid, host, table: 'this boot, another namespace' });
  const begun = join(parent, '.rounded-begun');
  mkdirSync(begun);
  const own = await makeScratchFolder(parent);
  const again = await makeScratchFolder(parent);
  assert.deepEqual([killed, lost].filter(existsSync), []);
  const kept = [atWork, container, begun, dirname(own.path), dirname(again.path)];
  assert.deepEqual(readdirSync(parent).sort(), kept.map((path) => path.slice(parent.length + 1)).sort());
  await own.remove();
  await again.remove();
  assert.deepEqual([own.path, again.path].filter(existsSync), []);
});

test('a scratch folder is empty at first, and leaves nothing', async (t) => {
  const parent = join(emptyFolder(t), 'runs');
  const { path, remove } = await makeScratchFolder(parent);
  assert.deepEqual(readdirSync(path), []);
  writeFileSync(join(path, 'weights'), 'large');
  await remove();
  assert.deepEqual(readdirSync(parent), []);
});
