/** A run and a model become checkpoints of others, whole or not at all, with a card that says what they are. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ExportCheckpointRequest,
  type ExportCheckpointResult,
  exportCheckpoint,
  planExport,
} from '../../src/engine/index.ts';
import { importGguf } from '../../src/engine/model/import-gguf.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { CHECKPOINT_DEFAULTS, type CheckpointSettings } from '../../src/protocol/export-plan.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { collect, demoFolder } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';

const OPTIONS = { kernels: 'composed' } as const;
const folder = oldRunsFolder();
const RUN = join(folder, 'runs', '20261128T151219Z-gptq');

const settings = (
  own: Partial<CheckpointSettings> & Pick<CheckpointSettings, 'format'>,
): CheckpointSettings => ({
  ...CHECKPOINT_DEFAULTS,
  ...own,
});

async function written(
  from: ExportCheckpointRequest['from'],
  out: string,
  own: CheckpointSettings,
  signal?: AbortSignal,
): Promise<ExportCheckpointResult> {
  return (await collect(exportCheckpoint({ from, out, settings: own }, { ...OPTIONS, signal }))).result;
}

test('the folder of a run has its report and its card', async (t) => {
  writeFileSync(join(folder, 'model', 'README.md'), '---\nlicense: apache-2.0\n---\n# A model\n');
  const out = join(temporaryFolder(t), 'out');
  const result = await written({ run: RUN }, out, settings({ format: 'huggingface', dtype: 'float32' }));
  const { folder: where, ...report } = result;
  assert.equal(where, out);
  assert.deepEqual(JSON.parse(readFileSync(join(out, 'export.json'), 'utf8')), report);
  assert.deepEqual(
    readdirSync(out).sort(),
    [...Object.keys(report.files), 'README.md', 'export.json'].sort(),
  );
  assert.deepEqual([report.run, report.bits], [RUN, 'W4A4KV4']);
  assert.deepEqual(report.settings, { dtype: 'float32', weights: 'rounded' });
  const { check } = report;
  assert.ok(check);
  // float32 products in another order, over the losses of 62 tokens.
  assert.ok(Math.abs(check.readBack / check.weights - 1) < 1e-4);
  assert.notEqual(check.network, check.weights);
  const asked = { from: { run: RUN }, settings: settings({ format: 'huggingface' }), measure: true };
  const { measured, recorded } = (await collect(planExport(asked, OPTIONS))).result;
  assert.ok(measured);
  assert.deepEqual([measured.network, measured.tokens], [check.network, check.tokens]);
  assert.ok(Math.abs(measured.there / check.weights - 1) < 1e-6, 'nothing but weights is rounded there');
  assert.ok(measured.unrounded < measured.there);
  assert.ok(Object.values(recorded).every((value) => value > 1));
  const card = readFileSync(join(out, 'README.md'), 'utf8');
  assert.match(card, /^---\nlicense: apache-2\.0\nbase_model: model\n---\n/);
  assert.match(card, /\| keys, values \| 4 and 4 bits \| left out \|/);
  assert.match(card, /Rotations: R1 is learned, R2 learned, R3 on, R4 on/);
  assert.match(
    card,
    /## Settings of the run\n\n```json\n\{\n {2}"calibration": \{\n {4}"text": \[\n {6}"[^/"]+"\n/,
  );
  assert.ok(!card.includes(folder), 'a card goes to others: it has no path of this machine');
});

test('what a format has no place for is told before anything is computed', async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const began: string[] = [];
  await rejectsWith(
    async () => {
      const request = { from: { run: RUN }, out, settings: settings({ format: 'gguf', type: 'Q4_0' }) };
      for await (const event of exportCheckpoint(request, OPTIONS))
        if (event.type === 'phase') began.push(event.phase);
    },
    'export/refused',
    /GGUF has no place for the R4 of this run \(R4, a Hadamard transform of 48 channels before down_proj\): llama\.cpp computes nothing/,
  );
  assert.deepEqual([...new Set(began)], ['load']);
  const rotated = settings({ format: 'gguf', type: 'Q4_0', weights: 'rotated' });
  const { rows } = (await collect(planExport({ from: { run: RUN }, settings: rotated }, OPTIONS))).result;
  assert.deepEqual(
    rows.filter(({ part }) => part === 'weights' || part === 'R4').map(({ verdict }) => verdict),
    ['changed', 'merged'],
  );
  // Its tokenizer is none of the two kinds that llama.cpp reads in a file.
  await rejectsWith(
    () => written({ run: RUN }, out, rotated),
    'export/tokenizer',
    /no rule that cuts texts into words/,
  );
  assert.deepEqual(readdirSync(join(out, '..')), []);
});

test('a model at full precision becomes a GGUF file with its tokenizer', async (t) => {
  const model = join(demoFolder(), 'model');
  const out = join(temporaryFolder(t), 'out');
  const result = await written({ model }, out, settings({ format: 'gguf', type: 'Q8_0', head: 8 }));
  assert.deepEqual([result.run, result.bits, result.check], [null, 'W16A16KV16', null]);
  const file = join(out, 'model-Q8_0.gguf');
  const { dir, warnings } = await importGguf({ file, out: join(temporaryFolder(t), 'back') });
  assert.deepEqual(warnings, []);
  const [own, back] = [openTokenizer(model), openTokenizer(dir)];
  const text = 'Once upon a time,\n there were 12 cats; they said: "Hello!"';
  assert.deepEqual(back.encode(text), own.encode(text));
  assert.deepEqual([back.bosId, back.eosId, back.addsBos], [own.bosId, own.eosId, own.addsBos]);
  await rejectsWith(
    () => written({ model }, join(out, 'other'), settings({ format: 'compressed-tensors' })),
    'export/refused',
    /no place for the weights of this run \(16 bits, not rounded\)/,
  );
});

test('one that is stopped leaves nothing', async (t) => {
  const parent = temporaryFolder(t);
  for (const phase of ['load', 'export'] as const) {
    const controller = new AbortController();
    const request = {
      from: { run: RUN },
      out: join(parent, 'out'),
      settings: settings({ format: 'compressed-tensors' }),
    };
    await assert.rejects(async () => {
      for await (const event of exportCheckpoint(request, { ...OPTIONS, signal: controller.signal }))
        if (event.type === 'phase' && event.phase === phase) controller.abort();
    }, Cancelled);
    assert.deepEqual(readdirSync(parent), []);
  }
});
