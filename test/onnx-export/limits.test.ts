/** What stock operators have no place for is refused before anything is written, by name. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { Network } from '../../src/engine/network/network.ts';
import {
  expectExpressible,
  limitsOf,
  type TargetQuestion,
  type WrittenTables,
} from '../../src/engine/onnx-export/limits.ts';
import { libraryFor } from '../../src/engine/onnx-export/write-folder.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { rejectsWith } from '../formats/support.ts';
import { copyGolden, editJson } from '../model/goldens.ts';
import { rotated } from './exported.ts';

const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
const cache = new ProgramCache(runtime);
after(() => runtime.close());

async function networkOf(t: TestContext, config: Readonly<Record<string, unknown>>, groupSize?: number) {
  const dir = copyGolden(t, 'llama');
  editJson(join(dir, 'config.json'), config);
  const form = { weights: 4, activations: 8, ...(groupSize !== undefined && { groupSize }) } as const;
  return rotated(cache, await openCheckpoint(dir), form);
}

const TABLE = { bits: 16, bytes: 0, error: null } as const;
const TABLES: WrittenTables = { embeddings: TABLE, head: TABLE };

const questionOf = ({ checkpoint, options }: Network): TargetQuestion => ({
  target: 'stock',
  checkpoint,
  quantizers: options.quantizers,
  exceptions: options.exceptions,
  method: 'rtn',
  dense: false,
});

test('a model and its weights as they mostly are', async (t) => {
  expectExpressible(questionOf(await networkOf(t, {})));
  expectExpressible(questionOf(await networkOf(t, {}, 16)));
});

test('heads that are no multiples of eight channels', async (t) => {
  const network = await networkOf(t, { num_attention_heads: 8, num_key_value_heads: 4, head_dim: 4 });
  await rejectsWith(
    async () => expectExpressible(questionOf(network)),
    'export/head-size',
    /llama have 4 channels; .* multiples of 8/,
  );
});

test('weights on no grid', async (t) => {
  const question = { ...questionOf(await networkOf(t, {})), method: 'quip', dense: true };
  await rejectsWith(
    async () => expectExpressible(question),
    'export/no-grid',
    /^The method quip rounds the weights of this run to numbers that no grid/,
  );
});

test('groups of weights that no block divides', async (t) => {
  const network = await networkOf(t, {}, 8);
  await rejectsWith(
    async () => expectExpressible(questionOf(network)),
    'export/group-size',
    /groups of 8 \(quantization\.weights\.groupSize\); .* blocks of 16, 32, 64, 128/,
  );
});

test('groups of channels have no place in stock products, which is said', async (t) => {
  const checkpoint = await openCheckpoint(copyGolden(t, 'llama'));
  for (const [activations, found] of [
    [8, /with one scale for each block of \d+ channels; the run has one for each group of 16\./],
    [4, /with one scale for each block of \d+ channels \(the run has one for each group of 16\)\. Compare/],
  ] as const) {
    const form = { weights: 4, activations, activationGroup: 16 } as const;
    const notes = limitsOf(rotated(cache, checkpoint, form), 'stock', TABLES);
    assert.match(notes.join('\n'), found);
    assert.doesNotMatch(
      limitsOf(rotated(cache, checkpoint, form), 'native', TABLES).join('\n'),
      /float32 numbers/,
    );
  }
});

test('caches that are not the same in all layers', async (t) => {
  const question = questionOf(await networkOf(t, {}));
  const { quantizers } = question;
  const other = { ...quantizers, keys: { ...quantizers.keys, bits: 8 } };
  const exceptions = new Map([[1, other]]);
  expectExpressible({ ...question, exceptions });
  await rejectsWith(
    async () => expectExpressible({ ...question, exceptions, target: 'native' }),
    'export/exceptions',
    /gives some layers other keys or values than the others/,
  );
});

test('first tokens that stay whole', async (t) => {
  const question = questionOf(await networkOf(t, {}));
  const quantizers = { ...question.quantizers, wholeTokens: { keys: 1, values: 0 } };
  expectExpressible({ ...question, quantizers });
  await rejectsWith(
    async () => expectExpressible({ ...question, quantizers, target: 'native' }),
    'export/first-tokens',
    /stay at 16 bits \(firstTokens\)/,
  );
});

test('a model whose long texts turn otherwise has the context of its short ones', async (t) => {
  const factors = { short_factor: [1, 1, 1, 1], long_factor: [2, 3, 4, 5] };
  const rope = { rope_type: 'longrope', rope_theta: 10000, ...factors };
  const network = await networkOf(t, {
    rope_parameters: { ...rope, original_max_position_embeddings: 64 },
  });
  assert.match(limitsOf(network, 'stock', TABLES).join('\n'), /The context is 64 tokens instead of 256/);
  assert.doesNotMatch(limitsOf(await networkOf(t, {}), 'stock', TABLES).join('\n'), /context/);
});

test('our operators take other heads and groups, but for products of numbers', async (t) => {
  const heads = { num_attention_heads: 8, num_key_value_heads: 4, head_dim: 4 };
  const native = async (network: Network) => ({ ...questionOf(network), target: 'native' as const });
  expectExpressible(await native(await networkOf(t, heads)));
  const groups = await native(await networkOf(t, {}, 8));
  expectExpressible(groups);
  const { quantizers } = groups;
  const sixteen = { ...quantizers, input: { ...quantizers.input, bits: 16 } };
  await rejectsWith(
    async () => expectExpressible({ ...groups, quantizers: sixteen }),
    'export/group-size',
    /groups of 8/,
  );
  await rejectsWith(
    async () => expectExpressible({ ...groups, method: 'quip', dense: true }),
    'export/no-grid',
    /no grid of rows or groups holds; Int4MatMul has whole numbers/,
  );
});

test('the library of our operators is asked for before anything is written', async () => {
  assert.equal(libraryFor('stock', null), null);
  await rejectsWith(
    async () => libraryFor('native', null),
    'export/no-library',
    new RegExp(`not built for ${process.platform}-${process.arch}`),
  );
});
