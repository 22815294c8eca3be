import assert from 'node:assert/strict';
import test from 'node:test';
import { chooseFiles } from '../../src/disk/data-set.ts';
import { rejectsWith } from '../formats/support.ts';

const choose = (listing: readonly string[], path: string, split: string | null = null) =>
  chooseFiles('org/name', listing, { path, split });

const WIKITEXT = ['wikitext-103-raw-v1', 'wikitext-2-raw-v1'].flatMap((config) =>
  ['test', 'train', 'validation'].map((split) => `${config}/${split}-00000-of-00001.parquet`),
);

test('a split is named behind its folder, or apart', () => {
  const test_ = ['wikitext-2-raw-v1/test-00000-of-00001.parquet'];
  assert.deepEqual(choose(WIKITEXT, 'wikitext-2-raw-v1/test'), test_);
  assert.deepEqual(choose(WIKITEXT, 'wikitext-2-raw-v1', 'test'), test_);
  assert.deepEqual(choose(WIKITEXT, test_[0]!), test_);
  assert.deepEqual(choose(WIKITEXT, 'wikitext-2-raw-v1', 'dev'), [WIKITEXT[5]]);
});

test('the usual layouts of data sets', () => {
  const data = [
    'README.md',
    '.gitattributes',
    'data/train-00001-of-00002.parquet',
    'data/train-00000-of-00002.parquet',
  ];
  assert.deepEqual(choose(data, ''), [data[3], data[2]]);
  assert.deepEqual(choose(['default/train/0000.parquet', 'default/test/0000.parquet'], '', 'test'), [
    'default/test/0000.parquet',
  ]);
  assert.deepEqual(
    choose(['en/c4-train.00000-of-00001.json.gz', 'en/c4-validation.00000-of-00001.json.gz'], 'en', 'train'),
    ['en/c4-train.00000-of-00001.json.gz'],
  );
  assert.deepEqual(choose(['train.jsonl', 'valid.jsonl', 'dataset_infos.json'], '', 'validation'), [
    'valid.jsonl',
  ]);
  assert.deepEqual(
    choose(['auxiliary_train/train-00000-of-00001.parquet', 'test/x.parquet'], '', 'auxiliary_train'),
    ['auxiliary_train/train-00000-of-00001.parquet'],
  );
});

test('the better form of the same rows is read', () => {
  assert.deepEqual(choose(['test.txt', 'test.jsonl', 'test.parquet'], ''), ['test.parquet']);
});

test('what cannot be told is asked for, with what there is', async () => {
  await rejectsWith(
    () => choose(WIKITEXT, 'wikitext-2-raw-v1'),
    'dataset/ambiguous',
    /wikitext-2-raw-v1 test, wikitext-2-raw-v1 train/,
  );
  await rejectsWith(
    () => choose(WIKITEXT, '', 'test'),
    'dataset/ambiguous',
    /wikitext-103-raw-v1 test, wikitext-2-raw-v1 test/,
  );
  await rejectsWith(
    () => choose(WIKITEXT, 'wikitext-2-raw-v1', 'other'),
    'dataset/no-split',
    /no split "other"; it has .* train/,
  );
  await rejectsWith(() => choose(['README.md'], ''), 'dataset/no-files', /org\/name has no data files/);
  await rejectsWith(
    () => choose(['train-00000-of-00003.parquet', 'train-00002-of-00003.parquet'], ''),
    'dataset/missing-shard',
    /2 of the 3 files/,
  );
});
