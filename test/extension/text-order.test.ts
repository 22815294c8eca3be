import assert from 'node:assert/strict';
import test from 'node:test';
import { orderedTexts } from '../../src/extension/experiments/text-order.ts';

const PATHS = ['/w/README.md', '/w/data/test.txt', '/w/data/train.txt', '/w/data/valid.txt', '/w/notes.txt'];

test('texts to learn on come first by name, and what is learned on is not measured on', () => {
  assert.deepEqual(orderedTexts(PATHS, 'train', null), [
    '/w/data/train.txt',
    '/w/data/valid.txt',
    '/w/notes.txt',
    '/w/data/test.txt',
    '/w/README.md',
  ]);
  assert.deepEqual(orderedTexts(PATHS, 'test', '/w/data/valid.txt'), [
    '/w/data/test.txt',
    '/w/notes.txt',
    '/w/data/train.txt',
    '/w/README.md',
  ]);
  assert.deepEqual(orderedTexts(['/w/only.txt'], 'test', '/w/only.txt'), []);
  assert.equal(orderedTexts(['/w/test.txt', '/w/calibration.txt'], 'train', null)[0], '/w/calibration.txt');
});
