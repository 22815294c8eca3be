/** Whatever stands at whichever place of an experiment, reading it ends: an editor reads it while it is being typed. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseExperiment } from '../../src/config/index.ts';

const FULL = {
  model: 'm',
  calibration: { text: ['a', { text: 'b', field: 'c' }], samples: 2, sequenceLength: 64 },
  quantization: { weights: { bits: 4, method: 'gptq', groupSize: null }, activations: { bits: 4 } },
  rotation: { r1: 'learned', r2: 'random', learning: { objective: 'peak', steps: 3 } },
  scaling: { method: 'smoothquant', smoothquant: { alpha: 0.5 } },
  training: { method: 'none' },
  evaluation: {
    perplexity: [{ name: 'a', text: 'b', maxWindows: 2 }],
    tasks: [{ task: 'piqa', data: 'd', limit: 2 }],
  },
  matrix: {
    preset: 'table1',
    bits: ['4-4-4'],
    methods: ['rtn'],
    seeds: [0],
    rows: [{ name: 'mine', title: 'Mine', like: 'rtn', settings: { rotation: { r1: 'none' } } }],
  },
};

const ODD_VALUES: readonly unknown[] = [null, true, -1, 2.5, 1e300, '', '?', [], [null], {}, { odd: 1 }];

type Holder = Record<string, unknown>;

/** The paths of all values, outermost first. */
function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value).flatMap((key) => {
    const inside = [...path, key];
    return [inside, ...pathsOf((value as Holder)[key], inside)];
  });
}

/** The text of the experiment after a change at the path. */
function changed(path: readonly string[], change: (around: Holder, key: string) => void): string {
  const copy = structuredClone(FULL);
  const around = path.slice(0, -1).reduce((value: Holder, key) => value[key] as Holder, copy);
  change(around, path.at(-1)!);
  return JSON.stringify(copy);
}

/** Nothing that an experiment holds may be both refused and without a fault. */
function read(text: string): void {
  const { experiment, faults } = parseExperiment(text, 'x.spinquant.json');
  const refused = faults.some(({ severity }) => severity === 'error');
  assert.equal(experiment === null, refused, text);
}

test('an experiment with any value missing is read to its end', () => {
  for (const path of pathsOf(FULL)) read(changed(path, (around, key) => delete around[key]));
});

test('an experiment with an odd value at any place is read to its end', () => {
  for (const path of pathsOf(FULL))
    for (const odd of ODD_VALUES)
      read(
        changed(path, (around, key) => {
          around[key] = odd;
        }),
      );
});
