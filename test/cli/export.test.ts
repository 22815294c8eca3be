/** spinquant export of whole models: what a person sees, and options that would not be used. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createColors } from 'picocolors';
import { exportRun } from '../../src/cli/commands/export.ts';
import { parseTableBits } from '../../src/cli/option-values.ts';
import type { Output } from '../../src/cli/output.ts';
import type { ExportModelResult, ExportPlan } from '../../src/engine/index.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const RUN = join(oldRunsFolder(), 'runs', '20261128T151219Z-gptq');
const COMPOSED = { kernels: 'composed' } as const;

/** Keeps what a command prints for people and as JSON. */
function recording() {
  const [results, documents]: [string[], unknown[]] = [[], []];
  const nothing = () => {};
  const output: Output = {
    ...{ json: true, colors: createColors(false), live: false, columns: 80 },
    ...{ stream: () => true, note: nothing, warn: nothing, status: nothing },
    result: (text) => results.push(text),
    document: (value) => documents.push(value),
  };
  return { output, results, documents };
}

test('the terminal says what the folder does otherwise than the run', async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const { output, results, documents } = recording();
  await exportRun(RUN, { format: 'onnx', out, head: 8, ...COMPOSED }, output);
  const [table = '', ...rest] = results;
  assert.match(table, /^ONNX model for stock ONNX Runtime, W4A4KV4:\nrotations /);
  const [said = '', ...lines] = rest.join('\n').split('\n');
  assert.match(said, /out: W4A4KV4, \d+\.\d KiB$/);
  const [notes, found = ''] = [lines.slice(0, -1), lines.at(-1)];
  assert.match(found, /^Perplexity on 62 tokens of stories: as the run .*, read back in ONNX Runtime \d/);
  assert.match(notes.join('\n'), /^- The one scale of a row .*\n- The run rounds activations to 4 bits/);
  const [document] = documents as [ExportModelResult];
  assert.deepEqual(
    notes,
    document.notes.map((note) => `- ${note}`),
  );
  const { format, folder, target, embeddings, head } = document;
  assert.deepEqual(
    { format, folder, target, embeddings: embeddings.bits, head: head.bits },
    { format: 'onnx', folder: out, target: 'stock', embeddings: 16, head: 8 },
  );
});

test('a plan tells what becomes of a run and writes nothing; an export tells it first', async (t) => {
  const plan = recording();
  await exportRun(RUN, { format: 'compressed-tensors', plan: true, ...COMPOSED }, plan.output);
  const [document] = plan.documents as [ExportPlan];
  assert.deepEqual([document.format, document.bits], ['compressed-tensors', 'W4A4KV4']);
  assert.deepEqual(
    document.rows.map(({ part, verdict }) => `${part}: ${verdict}`),
    [
      'rotations: merged',
      'weights: kept',
      'activations: changed',
      'R4: kept',
      'R3: left out',
      'keys, values: left out',
    ],
  );
  const out = join(temporaryFolder(t), 'out');
  const { output, results } = recording();
  await exportRun(RUN, { format: 'compressed-tensors', out, dtype: 'float32', ...COMPOSED }, output);
  assert.equal(results[0], plan.results[0]?.replace('in bfloat16', 'in float32'));
  assert.match(results.at(-1) ?? '', /^Perplexity on 62 tokens of stories: weights ([\d.]+), read back \1$/);
});

test('bits of tables are for whole models', async () => {
  for (const option of ['target', 'embeddings', 'head'])
    await rejectsWith(
      () => exportRun(RUN, { format: 'rbin', out: 'R.bin', [option]: 8, ...COMPOSED }, recording().output),
      'cli/not-used',
      new RegExp(`rbin takes no --${option}: it would not be used`),
    );
  for (const [option, value] of [
    ['dtype', 'float32'],
    ['type', 'F16'],
    ['weights', 'rotated'],
  ] as const)
    await rejectsWith(
      () => exportRun(RUN, { format: 'onnx', out: 'x', [option]: value, ...COMPOSED }, recording().output),
      'cli/not-used',
      new RegExp(`onnx takes no --${option}.*`),
    );
  await rejectsWith(
    () => exportRun(RUN, { format: 'huggingface', ...COMPOSED }, recording().output),
    'cli/no-out',
    /huggingface needs a place to write to/,
  );
  assert.equal(parseTableBits('8'), 8);
  assert.throws(() => parseTableBits('5'), /Allowed: 32, 16, 8, 4\./);
});
