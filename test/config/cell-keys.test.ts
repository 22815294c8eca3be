/** Tables keep their cells when options are added: keys of cells are those of the versions before. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { experimentOfText, resolvedCells } from '../../src/config/index.ts';

const TEXT = {
  model: 'm',
  calibration: { text: 'c.txt' },
  evaluation: { perplexity: [{ name: 'wiki', text: 't.txt' }] },
};
/** The row `best` as it was before its channels were balanced. */
const UNSCALED = { name: 'three', title: 'Three', like: 'best', settings: { scaling: { method: 'none' } } };
const METHODS = ['rtn', 'gptq', 'spinquant-had-gptq', 'three'];

/** As the version before `fullRange`, `r4Blocks`, `massiveWeight` and `r2Per` wrote them into runs. */
const KEYS = {
  fp: 'd930f7f4d23d0385ae17a1bd25c36a6f',
  rtn: 'da5e5e1cbfeac16a6bd25bab91685e40',
  gptq: 'b131870e2159c38d637db62870510fef',
  'spinquant-had-gptq': 'be4f4e2bdcb69ca828620d5b28526b23',
  three: 'a24ad987a36fcf207f7b06566d7f4971',
};

function keysWith(more: object): Readonly<Record<string, string>> {
  const matrix = { bits: ['4-4-4'], methods: METHODS, seeds: [0], rows: [UNSCALED] };
  const experiment = experimentOfText(JSON.stringify({ ...TEXT, ...more, matrix }), 'x.spinquant.json');
  return Object.fromEntries(resolvedCells(experiment).map(({ method, key }) => [method, key]));
}

const learning = (options: object): object => ({ rotation: { learning: options } });

test('an option that is not used leaves the keys of cells as they were before it', () => {
  // The precision was another by default.
  assert.deepEqual(
    keysWith(learning({ precision: 'bfloat16' })),
    KEYS,
    'list a new option in src/config/later-options.ts',
  );
});

test('an option that is used changes the keys of its cells', () => {
  const massive = keysWith(learning({ massiveWeight: 64 }));
  assert.notEqual(massive.three, keysWith({}).three);
  assert.equal(massive.rtn, KEYS.rtn, 'nothing is learned there');
  const apart = keysWith({ rotation: { r2Per: 'kv-head' } });
  assert.notEqual(apart.three, keysWith({}).three);
  assert.equal(apart.rtn, KEYS.rtn, 'nothing is rotated there');
  const rounded = keysWith({ evaluation: { ...TEXT.evaluation, precision: 'bfloat16' } });
  assert.notEqual(rounded.fp, KEYS.fp, 'it is measured in bfloat16, too');
  const blocks = keysWith({ rotation: { r4Blocks: 'power-of-two' } });
  assert.notEqual(blocks['spinquant-had-gptq'], keysWith({})['spinquant-had-gptq']);
});

test('what exceptions are chosen by changes the keys of cells that choose, and no others', () => {
  const worst = (count: number) => ({
    quantization: { exceptions: [{ layers: `worst:${count}`, keys: { bits: 8 } }] },
  });
  const [none, four, five] = [keysWith({}), keysWith(worst(4)), keysWith(worst(5))];
  const [budget, more] = [4.25, 4.5].map((bits) => keysWith({ quantization: { budget: bits } }));
  for (const method of ['rtn', 'gptq', 'spinquant-had-gptq', 'three'])
    assert.equal(new Set([none, four, five, budget, more].map((keys) => keys?.[method])).size, 5, method);
  // Nothing is rounded at full precision: there is nothing to choose.
  assert.deepEqual([four.fp, five.fp, budget?.fp], [none.fp, none.fp, none.fp]);
  const text = { budget: 4.25 };
  const seeded = keysWith({ quantization: text, calibration: { ...TEXT.calibration, samples: 64 } });
  assert.notEqual(seeded.rtn, budget?.rtn, 'the text that costs are taken on');
});
