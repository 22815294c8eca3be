/** One process at a time works in a run folder. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { startHeartbeat } from '../../src/runs/heartbeat.ts';
import { createRun, isResumable, mayBeLeft, openRun, type Run, writeJson } from '../../src/runs/index.ts';
import { takeLock } from '../../src/runs/lock.ts';
import { type Context, experimentIn, step } from './run-of.ts';

const LINUX = { skip: process.platform !== 'linux' && 'needs /proc' };
const MODULES = new URL('../../src/runs/', import.meta.url).href;

interface Lock {
  token: string;
  process: { pid: number; host: string; startTicks: string | null; table?: string };
  released: string | null;
}

function lockPath(dir: string): string {
  const names = readdirSync(join(dir, 'lock')).sort();
  return join(dir, 'lock', names.at(-1)!);
}

const readLock = (dir: string) => JSON.parse(readFileSync(lockPath(dir), 'utf8')) as Lock;

/** Makes a lock look as if another process held it, whose last sign of life was some seconds ago. */
function pretend(dir: string, owner: Partial<Lock['process']>, secondsAgo = 0): void {
  const path = lockPath(dir);
  const lock = readLock(dir);
  writeFileSync(path, `\n${JSON.stringify({ ...lock, token: 'x', process: { ...lock.process, ...owner } })}`);
  const then = Date.now() / 1000 - secondsAgo;
  utimesSync(path, then, then);
}

const ELSEWHERE = { host: 'build-7', pid: 7, table: 'another boot' };
const gone = () => spawnSync(process.execPath, ['-e', '']).pid;

/** A run with a checkpoint that says `running` and whose lock this process does not keep alive. */
async function runOfAnother(t: Context, owner: Partial<Lock['process']>, secondsAgo = 0): Promise<Run> {
  const run = createRun(await experimentIn(t), 'q');
  mkdirSync(run.path('checkpoint'));
  const text = readFileSync(run.path('run'));
  run.close(); // Its heartbeat ends.
  writeFileSync(run.path('run'), text);
  const lock = readLock(run.dir);
  writeFileSync(lockPath(run.dir), JSON.stringify({ ...lock, released: null }));
  pretend(run.dir, owner, secondsAgo);
  return openRun(run.dir);
}

test('a process that is dead holds nothing, whatever it is called now', LINUX, async (t) => {
  // The host got another name since, as in a container that was started again; its table of processes is the same.
  for (const host of [hostname(), 'before-the-restart']) {
    const run = await runOfAnother(t, { pid: gone(), host });
    assert.equal(run.record.status, 'interrupted');
    assert.equal(isResumable(run), true);
    assert.equal(await run.claim(), null, 'it is certain: nothing to be said');
  }
});

test('a pid that was given again is not the holder', LINUX, async (t) => {
  const run = await runOfAnother(t, { pid: process.pid, startTicks: '1' });
  assert.equal(await run.claim(), null);
});

test('the holder on another machine is at work while it gives signs of life', async (t) => {
  const run = await runOfAnother(t, ELSEWHERE, 20);
  assert.equal(run.record.status, 'running');
  await assert.rejects(run.claim(), (error: Error & { code: string; hint: string }) => {
    assert.equal(error.code, 'runs/busy');
    assert.match(error.message, /process 7 on build-7 since \d{4}-.*last sign of life was (19|20|21) s ago/);
    assert.match(error.hint, /kill 7.*60 s.*--take-over/);
    return true;
  });
  assert.equal((await openRun(run.dir)).record.status, 'running', 'a failed claim changes nothing');
});

test('after a minute without one the run goes on, and it is said from whom', async (t) => {
  const run = await runOfAnother(t, ELSEWHERE, 90);
  assert.equal(run.record.status, 'interrupted');
  assert.match((await run.claim()) ?? '', /^process 7 on build-7 since .*90 s ago$/);
});

test('a process that is alive here holds its run however long it was silent', LINUX, async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const long = Date.now() / 1000 - 1000;
  utimesSync(lockPath(run.dir), long, long);
  const other = await openRun(run.dir);
  assert.equal(other.record.status, 'running');
  await assert.rejects(other.claim(), { code: 'runs/busy' });
  run.finish('cancelled');
});

test('taken over by force, the holder stops and overwrites nothing', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.appendEvent(step(1));
  const taker = await openRun(run.dir);
  assert.match((await taker.claim(true)) ?? '', new RegExp(`^process ${process.pid} on `));
  taker.resume();
  taker.appendEvent(step(2));
  const files = () => ['run', 'events'].map((name) => readFileSync(run.path(name as 'run'), 'utf8'));
  const before = files();
  const writes = [
    () => run.appendEvent(step(2)),
    () => run.finish('failed'),
    () => run.truncateEventsAfterStep(0),
    () => run.check(),
  ];
  for (const write of writes) assert.throws(write, { code: 'runs/taken-over', message: /process \d+ on / });
  assert.throws(
    () =>
      run.writeResults({
        version: 1,
        bits: '',
        loss: null,
        orthogonalityError: null,
        steps: 0,
        perplexity: [],
        seconds: {},
      }),
    { code: 'runs/taken-over' },
  );
  run.close();
  assert.equal(run.isLost, true);
  assert.deepEqual(files(), before);
  assert.equal(existsSync(run.path('results')), false);
  taker.check();
  taker.finish('cancelled');
});

test('a run folder that is deleted or moved away ends its run, and is not made again', async (t) => {
  for (const lose of [
    (dir: string) => rmSync(dir, { recursive: true }),
    (dir: string) => renameSync(dir, `${dir}-moved`),
  ]) {
    const run = createRun(await experimentIn(t), 'q');
    run.appendEvent(step(1));
    lose(run.dir);
    assert.throws(() => run.appendEvent(step(2)), {
      code: 'runs/folder-gone',
      message: /deleted or renamed/,
    });
    run.close();
    assert.equal(existsSync(run.dir), false);
  }
});

test('without its lock a run stops', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  rmSync(join(run.dir, 'lock'), { recursive: true });
  assert.throws(() => run.appendEvent(step(1)), { code: 'runs/lock-gone', hint: /--resume/ });
});

test('given back, a run says so, and the next claim has the next number', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.finish('cancelled');
  assert.notEqual(readLock(run.dir).released, null);
  const next = await openRun(run.dir);
  await next.claim();
  assert.deepEqual(readdirSync(join(run.dir, 'lock')), ['00000002.json']);
  next.close();
  assert.equal(
    (await openRun(run.dir)).record.status,
    'cancelled',
    'a claim alone does not change the record',
  );
});

test('a process that gave its run back in the middle left it interrupted', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.close();
  assert.equal((await openRun(run.dir)).record.status, 'interrupted');
});

test('a finished run cannot be claimed, and its folder is free again', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  run.finish('finished');
  await assert.rejects((await openRun(run.dir)).claim(), { code: 'runs/finished' });
  takeLock(run.dir).lock.release();
});

test('a lock that is empty or damaged counts by its age', async (t) => {
  for (const text of ['', '{', '{"version":2}']) {
    const run = await runOfAnother(t, ELSEWHERE);
    writeFileSync(lockPath(run.dir), text);
    await assert.rejects(run.claim(), { code: 'runs/busy', message: /a process that is not known/ });
    const long = Date.now() / 1000 - 100;
    utimesSync(lockPath(run.dir), long, long);
    assert.match((await run.claim()) ?? '', /not known/);
    run.close();
  }
});

test('an old run of a machine with another name is left to the person', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const { table: _, ...owner } = run.record.process;
  run.close();
  rmSync(run.path('lock'), { recursive: true });
  mkdirSync(run.path('checkpoint'));
  writeJson(run.path('run'), { ...run.record, process: { ...owner, host: 'build-7' } });
  const old = await openRun(run.dir);
  assert.equal(old.record.status, 'running');
  assert.deepEqual([isResumable(old), mayBeLeft(old)], [false, true]);
  await assert.rejects(old.claim(), {
    code: 'runs/busy',
    message: /on build-7 .*no sign of life/,
    hint: /--take-over/,
  });
  assert.equal((await openRun(run.dir)).record.status, 'running', 'asking has not marked it');
  assert.match((await old.claim(true)) ?? '', /on build-7/);
  old.resume();
  assert.equal(mayBeLeft(await openRun(run.dir)), false);
  old.finish('cancelled');
});

test('a killed worker is marked, a run that was claimed since is not', async (t) => {
  const pid = gone();
  const run = await runOfAnother(t, { pid });
  writeJson(run.path('run'), { ...run.record, status: 'running', process: { ...run.record.process, pid } });
  const record = () => JSON.parse(readFileSync(run.path('run'), 'utf8')) as { status: string };
  const claimed = await openRun(run.dir);
  await claimed.claim();
  await assert.rejects((await openRun(run.dir)).markLeft(pid), { code: 'runs/busy' });
  assert.equal(record().status, 'running');
  claimed.close();
  await (await openRun(run.dir)).markLeft(pid);
  assert.equal(record().status, 'interrupted');
});

test('the heart beats while the thread is busy, and stops with its file', async (t) => {
  const run = createRun(await experimentIn(t), 'q');
  const path = join(run.dir, 'beat');
  writeFileSync(path, '\n{"kept": true}');
  const stop = startHeartbeat(path, 20);
  const old = Date.now() / 1000 - 1000;
  utimesSync(path, old, old);
  const sleep = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; statSync(path).mtimeMs / 1000 < old + 1 && waited < 20_000; waited += 50)
    Atomics.wait(sleep, 0, 0, 50); // Nothing else of this thread can run meanwhile.
  assert.ok(statSync(path).mtimeMs / 1000 > old + 1);
  assert.equal(readFileSync(path, 'utf8'), '\n{"kept": true}');
  rmSync(path);
  Atomics.wait(sleep, 0, 0, 200);
  assert.equal(existsSync(path), false, 'a beat makes no file');
  stop();
  run.close();
});

test('of many processes that claim a dead run at once, one gets it', async (t) => {
  const TAKERS = 4;
  const run = await runOfAnother(t, ELSEWHERE, 90);
  const code = `
    const { openRun } = await import('${MODULES}index.ts');
    const run = await openRun(${JSON.stringify(run.dir)});
    console.log('ready');
    process.stdin.once('data', async () => {
      try {
        await run.claim();
        run.resume();
        console.log('claimed');
      } catch (error) {
        console.log(error.code);
      }
    });`;
  const children = Array.from({ length: TAKERS }, () =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL');
  });
  const say = async (child: ChildProcess) => String((await once(child.stdout!, 'data'))[0]).trim();
  await Promise.all(children.map(say));
  const answers = children.map(say);
  for (const child of children) child.stdin.write('go\n');
  const said = (await Promise.all(answers)).sort();
  assert.deepEqual(said, ['claimed', ...Array(TAKERS - 1).fill('runs/busy')]);
  assert.equal(readdirSync(join(run.dir, 'lock')).length, 1);
});
