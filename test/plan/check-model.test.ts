/** Warnings about sequence lengths: they name the key, stand at it, and speak only of what the job reads. */
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Purpose, parseExperiment } from '../../src/config/index.ts';
import { checkAgainstModel } from '../../src/engine/plan/check/check-model.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { type Tensor, zeros } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';
import { editJson, goldenFolder } from '../model/goldens.ts';

const PLAIN = { rotation: { r1: 'none', r2: 'none', r4: false } };
const TASK = { name: 't', text: 'test.txt' };

/** Gives the model heads of zeros, after those that it has. */
async function addHeads(model: string, heads: number): Promise<void> {
  const path = join(model, 'model.safetensors');
  const { tensors } = readSafetensorsHeader(path);
  const changed = [...tensors].map(([name, tensor]): [string, Tensor] => {
    const [rows = 0, columns = 0] = tensor.dims;
    if (name.endsWith('q_proj.weight')) return [name, zeros('float32', [8 * heads, columns])];
    if (name.endsWith('o_proj.weight')) return [name, zeros('float32', [rows, 8 * heads])];
    return [name, tensor];
  });
  await writeSafetensors(path, Object.fromEntries(changed.map(([name, tensor]) => [name, held(tensor)])));
  editJson(join(model, 'config.json'), { num_attention_heads: heads });
}

/** A tensor of a file that is about to be replaced. */
const held = (tensor: Tensor) => (tensor.kind === 'file' ? readTensor(tensor) : tensor);

async function checked(
  t: TestContext,
  settings: object,
  purpose: Purpose,
  config: object = {},
  heads: number | null = null,
) {
  const folder = temporaryFolder(t);
  cpSync(goldenFolder('llama'), join(folder, 'model'), { recursive: true });
  editJson(join(folder, 'model', 'config.json'), { ...config });
  if (heads !== null) await addHeads(join(folder, 'model'), heads);
  writeFileSync(join(folder, 'train.txt'), '');
  const file = join(folder, 'e.spinquant.json');
  const text = JSON.stringify({ model: 'model', ...settings });
  const { faults, config: found } = await checkAgainstModel(parseExperiment(text, file), file, purpose);
  const at = ({ range }: (typeof faults)[number]) => text.slice(range.offset, range.offset + range.length);
  return {
    found,
    faults: faults.map((fault) => ({ ...fault, at: at(fault) })),
    codes: faults.map(({ code }) => code),
    lengths: faults
      .filter(({ code }) => code === 'model/positions')
      .map((fault) => [at(fault), fault.message.replace(/ are more.*/, '')]),
  };
}

test('groups of channels that do not divide what a site holds are faults at their sizes, also of exceptions', async (t) => {
  const exceptions = [
    { sites: ['o', 'down'], activations: { groupSize: 5 } },
    { sites: 'o', activations: { groupSize: 7 } },
    { sites: 'gate-up', activations: { groupSize: 16 } },
  ];
  const quantization = { activations: { groupSize: 3 }, exceptions };
  const { faults } = await checked(t, { ...PLAIN, quantization }, 'evaluate');
  const found = faults.filter(({ code }) => code === 'quantization/group-size');
  assert.deepEqual(
    found.map(({ at, message }) => [at, message.replace(/ channels that/, '')]),
    [
      ['3', 'quantization.activations.groupSize is 3, which does not divide the 32 q, k and v read.'],
      ['5', 'quantization.exceptions[0].activations.groupSize is 5, which does not divide the 48 down read.'],
    ],
  );
  assert.match(found[0]!.hint, /^Use 32, or null for one scale per token\.$/);
  assert.match(found[1]!.hint, /^Use 48, or null/);
});

test('no warning about a length that the job does not read', async (t) => {
  const windows = { evaluation: { perplexity: [{ ...TASK, sequenceLength: 96 }] } };
  for (const purpose of ['evaluate', 'edit'] as const)
    assert.deepEqual((await checked(t, { ...PLAIN, ...windows }, purpose)).lengths, [], purpose);
  const long = { calibration: { sequenceLength: 96 }, evaluation: { perplexity: [TASK] } };
  assert.deepEqual((await checked(t, { ...PLAIN, ...long }, 'inspect')).lengths, []);
});

test('a warning names the key, and tells that it is a default', async (t) => {
  const calibration = { text: 'train.txt', sequenceLength: 512 };
  const written = await checked(t, { ...PLAIN, calibration, evaluation: { perplexity: [TASK] } }, 'edit');
  assert.deepEqual(written.lengths, [
    ['512', 'calibration.sequenceLength: 512 tokens'],
    ['{', 'evaluation.perplexity[0].sequenceLength: 2048 tokens, the default,'],
  ]);
  const gptq = { quantization: { weights: { bits: 4, method: 'gptq' } } };
  const jobs = [
    ['optimize', {}],
    ['inspect', {}],
    ['evaluate', gptq],
  ] as const;
  for (const [purpose, settings] of jobs) {
    const { lengths } = await checked(t, { ...settings, calibration: { text: 'train.txt' } }, purpose);
    assert.deepEqual(lengths, [['{', 'calibration.sequenceLength: 2048 tokens, the default,']], purpose);
  }
});

test('claims of the model are warnings at its name', async (t) => {
  const { codes } = await checked(t, PLAIN, 'evaluate', { tie_word_embeddings: true });
  assert.ok(codes.includes('model/own-head'), codes.join());
});

test('sizes that the tensors deny are the only fault', async (t) => {
  for (const config of [
    { intermediate_size: 2 ** 24 },
    { num_hidden_layers: 9999 },
    { hidden_size: 2 ** 24 - 4 },
  ]) {
    const began = performance.now();
    const { codes, found } = await checked(t, {}, 'edit', config);
    assert.match(codes.join(), /^model\/(tensor-shape|layers)$/);
    assert.equal(found, null);
    assert.ok(performance.now() - began < 2000);
  }
});

test('heads are mixed only where a Hadamard matrix has their number', async (t) => {
  const rotation = { ...PLAIN.rotation, acrossHeads: true };
  const about = async (settings: object, heads: number | null) =>
    (await checked(t, settings, 'edit', {}, heads)).faults.filter(({ code }) => code === 'rotation/heads');
  assert.deepEqual(await about({ rotation }, null), []);
  assert.deepEqual(await about(PLAIN, 6), []);
  const [fault, ...others] = await about({ rotation }, 6);
  assert.deepEqual(others, []);
  assert.deepEqual([fault?.severity, fault?.code, fault?.at], ['error', 'rotation/heads', 'true']);
  assert.match(fault!.message, /rotation\.acrossHeads.* 6 heads/);
  assert.deepEqual(fault?.suggestion, { path: ['rotation', 'acrossHeads'], value: false });
});

test('a table warns of what is the same in all of its cells', async (t) => {
  const calibration = { text: 'train.txt', sequenceLength: 4096 };
  const matrix = { bits: ['4-4-4'], methods: ['rtn', 'gptq'] };
  const { lengths } = await checked(t, { calibration, matrix }, 'optimize');
  assert.deepEqual(
    lengths.map(([at]) => at),
    ['4096'],
  );
});
