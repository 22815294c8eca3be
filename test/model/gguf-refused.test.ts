/** Whole GGUF files that hold no model of a kind that is supported. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { ggufOf, imported } from './gguf-models.ts';
import type { GgufContents, TypedValue, WrittenTensor } from './gguf-writer.ts';
import { goldenFolder } from './goldens.ts';

/** Changes to the golden file that make it something else; undefined takes a key or tensor out. */
interface Change {
  readonly metadata?: Readonly<Record<string, TypedValue | undefined>>;
  readonly tensors?: Readonly<Record<string, readonly number[] | undefined>>;
}

/** 1, 2, 3 …: as frequency factors, of no rule. */
function counting(dims: readonly number[]): WrittenTensor {
  const values = Float32Array.from({ length: dims[0]! }, (_, i) => i + 1);
  return { type: 'F32', dims, bytes: new Uint8Array(values.buffer) };
}

const FAULTS: [name: string, change: Change, code: string, message: RegExp][] = [
  [
    'another architecture',
    { metadata: { 'general.architecture': ['text', 'gemma2'] } },
    'gguf/architecture',
    /"gemma2"; supported are llama, qwen2, qwen3/,
  ],
  [
    'experts',
    { metadata: { 'llama.expert_count': ['u32', 8] } },
    'gguf/architecture',
    /mixture of 8 experts/,
  ],
  [
    'a part of a model',
    { metadata: { 'split.count': ['u32', 3] } },
    'gguf/split',
    /one of 3 parts, and its name does not end in -00001-of-00003\.gguf/,
  ],
  [
    'a missing key',
    { metadata: { 'llama.block_count': undefined } },
    'gguf/metadata',
    /llama\.block_count is missing; it must be a whole number/,
  ],
  [
    'layers without tensors',
    { metadata: { 'llama.block_count': ['u32', 1_000_000_000] } },
    'gguf/metadata',
    /llama\.block_count is 1000000000, but the file has only \d+ tensors/,
  ],
  [
    'a value that makes no sense',
    { metadata: { 'llama.embedding_length': ['f32', 0.5] } },
    'gguf/metadata',
    /embedding_length is 0\.5/,
  ],
  [
    'layers that differ',
    { metadata: { 'llama.attention.head_count_kv': ['u32', [2, 4]] } },
    'gguf/metadata',
    /head_count_kv is \[2,4\].*the same for all layers/,
  ],
  [
    'a rotary embedding of a part of the head',
    { metadata: { 'llama.rope.dimension_count': ['u32', 4] } },
    'gguf/heads',
    /rope\.dimension_count is 4, but heads have 8/,
  ],
  [
    'longrope',
    { metadata: { 'llama.rope.scaling.type': ['text', 'longrope'] } },
    'gguf/rope',
    /"longrope"; supported are "none", "linear", "yarn"/,
  ],
  ['frequency factors of no rule', { tensors: { 'rope_freqs.weight': [4] } }, 'gguf/rope', /follow no rule/],
  [
    'no embedding',
    { tensors: { 'token_embd.weight': undefined } },
    'gguf/missing-tensor',
    /no tensor token_embd\.weight/,
  ],
  [
    'a missing tensor',
    { tensors: { 'blk.1.ffn_up.weight': undefined } },
    'gguf/missing-tensor',
    /lacks 1 tensors .* model\.layers\.1\.mlp\.up_proj\.weight/,
  ],
  [
    'an unknown tensor',
    { tensors: { 'blk.0.attn_qkv.weight': [1] } },
    'gguf/unknown-tensor',
    /holds blk\.0\.attn_qkv\.weight/,
  ],
  [
    'a layer too many',
    { tensors: { 'blk.2.attn_norm.weight': [32] } },
    'gguf/unknown-tensor',
    /blk\.2\.attn_norm/,
  ],
  [
    'a wrong shape',
    { tensors: { 'blk.0.attn_norm.weight': [31] } },
    'gguf/tensor-shape',
    /blk\.0\.attn_norm\.weight has shape \[31\].*\[32\] \(hidden_size\)/,
  ],
];

for (const [name, change, code, message] of FAULTS) {
  test(`refused: ${name}`, async (t) => {
    const contents = ggufOf(await openCheckpoint(goldenFolder('llama')));
    const metadata = { ...contents.metadata, ...change.metadata };
    const tensors = Object.entries(change.tensors ?? {}).map(([key, dims]) => [key, dims && counting(dims)]);
    const present = (object: object): object =>
      Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
    const changed = {
      metadata: present(metadata),
      tensors: present({ ...contents.tensors, ...Object.fromEntries(tensors) }),
    } as GgufContents;
    const out = join(temporaryFolder(t), 'model');
    await rejectsWith(() => imported(t, changed, { out }), code, message);
    assert.ok(!existsSync(out), 'no folder is left');
  });
}
