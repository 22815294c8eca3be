import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { cachedModel } from '../../src/hub/cache.ts';
import { type DownloadEvent, download } from '../../src/hub/download.ts';
import { expectModel, expectText } from '../../src/hub/locate.ts';
import { type HubAddress, parseDatasetAddress, parseModelName } from '../../src/hub/names.ts';
import { rejectsWith } from '../formats/support.ts';
import { gitOid, type Hub, type Repository, startHub } from './server.ts';

const COMMIT = 'a'.repeat(40);
const LATER = 'b'.repeat(40);
/** Long enough that a cut falls inside, on any size of socket buffers. */
const WEIGHTS = randomBytes(300_000);

function model(): Repository {
  return {
    name: 'models/org/tiny',
    commit: COMMIT,
    files: {
      'README.md': Buffer.from('nobody needs it'),
      'config.json': Buffer.from('{"model_type": "llama"}'),
      'tokenizer.json': Buffer.from('{}'),
      'model.safetensors': WEIGHTS,
      'pytorch_model.bin': Buffer.from('nor this'),
    },
  };
}

function dataset(): Repository {
  return {
    name: 'datasets/org/texts',
    commit: COMMIT,
    files: {
      'README.md': Buffer.from('---\n---'),
      'raw/test-00000-of-00001.jsonl': Buffer.from('{"text":"a"}\n'),
      'raw/train-00000-of-00002.jsonl': Buffer.from('{"text":"b"}\n'),
      'raw/train-00001-of-00002.jsonl': Buffer.from('{"text":"c"}\n'),
    },
  };
}

const TINY = parseModelName('org/tiny')!;
const QUICK = { attempts: 3, pause: 0.01, silence: 5 };

async function fetched(address: HubAddress, split: string | null = null, patience = QUICK) {
  const events: DownloadEvent[] = [];
  for await (const event of download({ address, split }, { patience })) events.push(event);
  return events;
}

const weightRequests = (hub: Hub) => hub.requests.filter((line) => line.includes('.safetensors'));

test('a model lies in the cache as other tools put it there, with no more than is needed', async (t) => {
  const hub = await startHub(t, [model()]);
  process.env.HF_TOKEN = 'hf_secret';
  const events = await fetched(TINY);
  const folder = expectModel('org/tiny');
  const repository = join(hub.home, 'hub', 'models--org--tiny');
  assert.equal(folder, join(repository, 'snapshots', COMMIT));
  assert.equal(readFileSync(join(repository, 'refs', 'main'), 'utf8'), COMMIT);
  assert.deepEqual(readdirSync(folder).sort(), ['config.json', 'model.safetensors', 'tokenizer.json']);
  assert.deepEqual(readFileSync(join(folder, 'model.safetensors')), WEIGHTS);
  const blob = gitOid(Buffer.from('{"model_type": "llama"}'));
  if (process.platform !== 'win32')
    assert.equal(readlinkSync(join(folder, 'config.json')), join('..', '..', 'blobs', blob));
  assert.ok(readdirSync(join(repository, 'blobs')).every((name) => /^[0-9a-f]+$/.test(name)));
  assert.deepEqual(events.at(-1), {
    type: 'progress',
    file: 'model.safetensors',
    bytesDone: WEIGHTS.length,
    bytes: WEIGHTS.length,
  });
  assert.ok(hub.tokens.every((token) => token === 'Bearer hf_secret'));
  assert.equal(hub.requests.length, 2 + 3);
});

test('what is there is not fetched again: a branch is asked for its commit, a commit asks nobody', async (t) => {
  const repository = model();
  const hub = await startHub(t, [repository]);
  await fetched(TINY);
  hub.requests.length = 0;
  assert.deepEqual(await fetched(TINY), []);
  assert.deepEqual(hub.requests, ['GET /api/models/org/tiny/revision/main']);
  hub.requests.length = 0;
  assert.deepEqual(await fetched(parseModelName(`org/tiny@${COMMIT}`)!), []);
  assert.deepEqual(hub.requests, []);
  repository.commit = LATER;
  await fetched(TINY);
  assert.equal(expectModel('org/tiny').endsWith(LATER), true);
  assert.deepEqual(weightRequests(hub), [], 'the same blob serves the new commit');
});

test('without a network the cache serves, with a warning; HF_HUB_OFFLINE asks nobody', async (t) => {
  const hub = await startHub(t, [model()]);
  await fetched(TINY);
  await hub.close();
  const [event, ...more] = await fetched(TINY);
  assert.equal(more.length, 0);
  assert.ok(event?.type === 'warning');
  assert.match(
    event.message,
    /org\/tiny: .* does not answer \((ECONNREFUSED|UND_ERR_SOCKET)\).*aaaaaaaaaaaa/,
  );
  process.env.HF_HUB_OFFLINE = '1';
  assert.deepEqual(await fetched(TINY), []);
  const other = parseModelName('org/other')!;
  await rejectsWith(() => fetched(other), 'hub/offline', /org\/other is not in the cache/);
  delete process.env.HF_HUB_OFFLINE;
  await rejectsWith(
    () => fetched(other),
    'hub/unreachable',
    /org\/other cannot be downloaded: .*ECONNREFUSED/,
  );
});

test('a connection that is cut goes on where it ended', async (t) => {
  const hub = await startHub(t, [model()]);
  hub.fault = (path) => (path.endsWith('.safetensors') ? { cutAfter: 100_000 } : null);
  await fetched(TINY);
  const asked = weightRequests(hub).map((line) => line.split(' ')[2]);
  assert.equal(asked[0], undefined);
  // A client may lose what it had not read yet when its connection broke, never more.
  const ends = asked.map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0));
  assert.ok(ends.length >= 3);
  for (const [i, end] of ends.slice(1).entries())
    assert.ok(end > ends[i]! && end <= ends[i]! + 100_000, `asked from ${ends}`);
  assert.deepEqual(readFileSync(join(expectModel('org/tiny'), 'model.safetensors')), WEIGHTS);
});

test('a connection that falls silent counts as cut', async (t) => {
  const hub = await startHub(t, [model()]);
  let silent = true;
  hub.fault = (path) => {
    if (!path.endsWith('.safetensors') || !silent) return null;
    silent = false;
    return { silentAfter: 50_000 };
  };
  await fetched(TINY, null, { ...QUICK, silence: 0.3 });
  assert.deepEqual(weightRequests(hub).at(-1)?.split(' ')[2], 'bytes=50000-');
});

test('a server without ranges is read from the start, and the bytes are right', async (t) => {
  const hub = await startHub(t, [model()]);
  hub.fault = (path, count) =>
    path.endsWith('.safetensors') ? { ignoreRange: true, ...(count < 7 && { cutAfter: 100_000 }) } : null;
  await fetched(TINY);
  assert.deepEqual(readFileSync(join(expectModel('org/tiny'), 'model.safetensors')), WEIGHTS);
});

test('a job that was killed while it downloaded is gone on with', async (t) => {
  const hub = await startHub(t, [model()]);
  const blobs = join(hub.home, 'hub', 'models--org--tiny', 'blobs');
  hub.fault = (path) => (path.endsWith('.safetensors') ? { cutAfter: 70_000 } : null);
  await rejectsWith(
    () => fetched(TINY, null, { ...QUICK, attempts: 1 }),
    'hub/unreachable',
    /cut|terminated|SOCKET|closed/,
  );
  assert.equal(cachedModel(TINY), null);
  const kept = readdirSync(blobs).filter((name) => name.endsWith('.incomplete'));
  assert.equal(kept.length, 1);
  const { size } = statSync(join(blobs, kept[0]!));
  assert.ok(size > 0 && size <= 70_000);
  hub.fault = () => null;
  hub.requests.length = 0;
  await fetched(TINY);
  assert.deepEqual(
    weightRequests(hub).map((line) => line.split(' ')[2]),
    [`bytes=${size}-`],
  );
  assert.deepEqual(readFileSync(join(expectModel('org/tiny'), 'model.safetensors')), WEIGHTS);
});

test('too many requests are waited for as the server says', async (t) => {
  const hub = await startHub(t, [model()]);
  let left = 2;
  hub.fault = () => (left-- > 0 ? { status: 429, headers: { 'retry-after': '1' } } : null);
  const began = performance.now();
  await fetched(TINY);
  // Two waits of a second, of which a timer may miss some milliseconds.
  assert.ok(performance.now() - began > 1900);
  hub.fault = () => ({ status: 429, headers: { 'retry-after': '3600' } });
  await rejectsWith(
    () => fetched(parseModelName('org/tiny@other')!),
    'hub/unreachable',
    /answers 429, too many requests/,
  );
});

test('each refusal says what to do', async (t) => {
  const hub = await startHub(t, [model()]);
  const refused = async (status: number, error: string, code: string, message: RegExp) => {
    hub.fault = () => ({ status, headers: { 'x-error-code': error } });
    await rejectsWith(() => fetched(TINY), code, message);
  };
  await refused(401, 'GatedRepo', 'hub/gated', /org\/tiny is gated.*there is no token here/);
  await refused(403, 'GatedRepo', 'hub/gated', /org\/tiny is gated/);
  await refused(401, 'RepoNotFound', 'hub/unauthorized', /does not exist, or it is private/);
  await refused(404, 'RepoNotFound', 'hub/not-found', /org\/tiny: there is nothing at http/);
  await refused(404, 'RevisionNotFound', 'hub/no-revision', /there is no revision "main"/);
  await refused(418, '', 'hub/refused', /answers 418/);
  await refused(503, '', 'hub/unreachable', /answers 503/);
  hub.fault = () => null;
  await rejectsWith(() => fetched(parseModelName('org/none')!), 'hub/not-found', /org\/none/);
});

test('bytes that are not those of the checksum are never kept', async (t) => {
  const hub = await startHub(t, [model()]);
  hub.fault = (path) => (path.endsWith('.safetensors') ? { body: randomBytes(WEIGHTS.length) } : null);
  await rejectsWith(() => fetched(TINY), 'hub/damaged', /model\.safetensors.*other bytes/);
  assert.equal(cachedModel(TINY), null);
  hub.fault = () => null;
  await fetched(TINY);
  assert.deepEqual(readFileSync(join(expectModel('org/tiny'), 'model.safetensors')), WEIGHTS);
});

test('several downloads of one file at once leave it whole', async (t) => {
  const hub = await startHub(t, [model()]);
  hub.fault = (path, count) =>
    path.endsWith('.safetensors') && count % 3 !== 0 ? { cutAfter: 90_000 } : null;
  const patience = { ...QUICK, attempts: 20 };
  await Promise.all(Array.from({ length: 4 }, () => fetched(TINY, null, patience)));
  const folder = expectModel('org/tiny');
  assert.deepEqual(readFileSync(join(folder, 'model.safetensors')), WEIGHTS);
  const blobs = readdirSync(join(hub.home, 'hub', 'models--org--tiny', 'blobs'));
  assert.deepEqual(
    blobs.filter((name) => name.endsWith('.incomplete')),
    [],
  );
});

test('shards are those that the index names, and a snapshot without one is not whole', async (t) => {
  const index = { weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } };
  const { files, ...rest } = model();
  const { 'model.safetensors': _, ...small } = files;
  const repository = {
    ...rest,
    files: {
      ...small,
      'model.safetensors.index.json': Buffer.from(JSON.stringify(index)),
      'model-1.safetensors': Buffer.from('one'),
      'model-2.safetensors': Buffer.from('two'),
      'consolidated.safetensors': WEIGHTS,
    },
  };
  await startHub(t, [repository]);
  await fetched(TINY);
  const folder = expectModel('org/tiny');
  assert.ok(!existsSync(join(folder, 'consolidated.safetensors')));
  rmSync(join(folder, 'model-2.safetensors'));
  assert.equal(cachedModel(TINY), null);
  await fetched(TINY);
  assert.equal(readFileSync(join(folder, 'model-2.safetensors'), 'utf8'), 'two');
});

test('of a data set the split is fetched that is asked for', async (t) => {
  const hub = await startHub(t, [dataset()]);
  const test_ = parseDatasetAddress('hf://datasets/org/texts/raw/test')!;
  await fetched(test_);
  const names = (files: string[]) => files.map((file) => file.split(/[\\/]/).at(-1));
  assert.deepEqual(names(expectText('hf://datasets/org/texts/raw/test', null)), [
    'test-00000-of-00001.jsonl',
  ]);
  assert.ok(!hub.requests.some((line) => line.includes('train')));
  await rejectsWith(
    async () => expectText('hf://datasets/org/texts/raw', 'train'),
    'hub/not-downloaded',
    /spinq|cache/,
  );
  await fetched(parseDatasetAddress('hf://datasets/org/texts/raw')!, 'train');
  assert.equal(expectText('hf://datasets/org/texts/raw', 'train').length, 2);
  const whole = parseDatasetAddress('hf://datasets/org/texts')!;
  await rejectsWith(
    () => fetched(whole, 'dev'),
    'dataset/no-split',
    /no split "dev"; it has raw test, raw train/,
  );
  await rejectsWith(() => fetched(whole), 'dataset/ambiguous', /several parts: raw test, raw train/);
});

test('names that leave the cache are refused, whoever says them', async (t) => {
  for (const name of [
    '../etc',
    'a/..',
    '.a/b',
    'a/b@..',
    'a/b@x/../y',
    'hf://datasets/a/b/../c',
    'a/b/c',
    'a',
  ])
    assert.equal(parseModelName(name) ?? parseDatasetAddress(name), null, name);
  assert.equal(parseModelName('a/b@refs/pr/1')?.revision, 'refs/pr/1');
  assert.equal(
    parseDatasetAddress('hf://datasets/a/b@refs%2Fconvert%2Fparquet/c')?.revision,
    'refs/convert/parquet',
  );
  const { files, ...rest } = model();
  for (const path of ['../x.safetensors', '/x.safetensors', 'a/../../x.safetensors', 'C:x.safetensors']) {
    await startHub(t, [{ ...rest, files: { ...files, [path]: Buffer.from('x') } }]);
    await rejectsWith(() => fetched(TINY), 'hub/odd-answer', /a path stays in the repository/);
  }
});

test('a cache that another tool made serves as it is', async (t) => {
  const hub = await startHub(t, []);
  const repository = join(hub.home, 'hub', 'models--org--tiny');
  const snapshot = join(repository, 'snapshots', COMMIT);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(repository, 'refs'));
  writeFileSync(join(repository, 'refs', 'main'), COMMIT);
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors'])
    writeFileSync(join(snapshot, name), '{}');
  process.env.HF_HUB_OFFLINE = '1';
  assert.deepEqual(await fetched(TINY), []);
  assert.equal(expectModel('org/tiny'), snapshot);
  assert.deepEqual(hub.requests, []);
});
