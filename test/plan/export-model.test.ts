/** A run and a model become folders for ONNX Runtime, whole or not at all. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import {
  type ExportModelRequest,
  type ExportModelResult,
  evaluateAndKeep,
  exportModel,
} from '../../src/engine/index.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { evaluationText } from '../../src/engine/plan/workbench.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { MAIN } from '../cli/spinquant.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { oldRunsFolder } from '../helpers/old-runs.ts';
import { StockSession } from '../helpers/stock-session.ts';
import { notBuilt } from '../native/support.ts';

const OPTIONS = { kernels: 'composed' } as const;
const folder = oldRunsFolder();
const RUN = join(folder, 'runs', '20261128T151219Z-gptq');
const MODEL = join(folder, 'model');

async function written(
  from: ExportModelRequest['from'],
  out: string,
  more: Partial<ExportModelRequest> = {},
  signal?: AbortSignal,
  kernels: 'composed' | 'native' = 'composed',
): Promise<ExportModelResult> {
  const request = { from, format: 'onnx', target: 'stock', out, embeddings: 16, head: 16, ...more } as const;
  return (await collect(exportModel(request, { kernels, signal }))).result;
}

test('the folder of a run has all that onnxruntime-genai reads, and says what it cannot do', async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const result = await written({ run: RUN }, out, { embeddings: 4, head: 8 });
  const texts = ['tokenizer.json', 'tokenizer_config.json'];
  const files = ['model.onnx', 'model.onnx.data', 'genai_config.json', ...texts, 'README.md'];
  assert.deepEqual(readdirSync(out).sort(), [...files, 'export.json'].sort());
  assert.deepEqual(Object.keys(result.files), files);
  const card = readFileSync(join(out, 'README.md'), 'utf8');
  assert.match(card, /^---\nbase_model: model\n---\n\n# model, W4A4KV4, ONNX model for stock ONNX Runtime\n/);
  assert.match(card, /\| activations \| .* \| changed \| 8 bits, symmetric/);
  assert.match(card, /## Perplexity that the run measured\n/);
  const { check } = result;
  assert.ok(check);
  assert.deepEqual([check.text, check.tokens], ['stories', 62]);
  assert.match(card, /## Perplexity of this folder\n[\s\S]*\| this folder in ONNX Runtime 1\.\d+\.\d+ \| \d/);
  assert.match(card, /The licence is that of the base model, whose folder does not tell it\./);
  assert.ok(card.includes('onnxruntime_genai') && !card.includes(folder), 'it goes to others');
  const { folder: _, ...report } = result;
  assert.deepEqual(JSON.parse(readFileSync(join(out, 'export.json'), 'utf8')), report);
  assert.deepEqual([report.target, report.run, report.bits], ['stock', RUN, 'W4A4KV4']);
  assert.deepEqual([report.embeddings.bits, report.head.bits], [4, 8]);
  assert.match(
    report.notes.join(' '),
    /rounds activations to 4 bits.*Keys and values stay float32.*R3 is left out/,
  );
  const { config } = await openCheckpoint(MODEL);
  const { operators } = report;
  assert.equal(operators.MatMulNBits, 7 * config.layers + 1);
  assert.equal(operators.GroupQueryAttention, config.layers);
  assert.equal(operators.GatherBlockQuantized, 1);
  const { model, search } = JSON.parse(readFileSync(join(out, 'genai_config.json'), 'utf8'));
  const tokenizer = openTokenizer(MODEL, config.vocabSize);
  assert.deepEqual([model.type, model.context_length], [config.architecture, config.maxPositions]);
  assert.deepEqual(
    [model.bos_token_id, model.eos_token_id],
    [tokenizer.bosId, tokenizer.eosId].map((id) => id ?? undefined),
  );
  assert.equal(model.decoder.num_hidden_layers, config.layers);
  assert.equal(search.max_length, config.maxPositions);
  const session = await StockSession.open(out, config);
  await session.release();
});

test('the folder with our operators has their library, and how to load it', { skip: notBuilt }, async (t) => {
  const out = join(temporaryFolder(t), 'out');
  const result = await written({ run: RUN }, out, { target: 'native' }, undefined, 'native');
  const { check } = result;
  assert.ok(check);
  assert.equal(check.there, check.network, 'it rounds as the run does');
  // Codes are the same, so that sums of float32 in another order are all that differs, over the losses of 62 tokens.
  assert.ok(Math.abs(check.readBack / check.network - 1) < 1e-4, `${check.readBack} for ${check.network}`);
  const without = await written({ run: RUN }, join(temporaryFolder(t), 'out'), { target: 'native' });
  assert.equal(without.check, null, 'nothing reads it without our operators');
  const { config } = await openCheckpoint(MODEL);
  assert.deepEqual([result.target, result.bits], ['native', 'W4A4KV4']);
  const { operators, library, notes } = result;
  assert.equal(operators.Int4MatMul, 7 * config.layers);
  assert.equal(operators.MatMulNBits, undefined);
  assert.equal(library?.platform, `${process.platform}-${process.arch}`);
  const files = readdirSync(out);
  assert.ok(library && files.includes(library.file) && files.includes('README.md'));
  assert.match(notes.join(' '), /codes of 4 and 4 bits with their scales: \d+ bytes a token/);
  const readme = readFileSync(join(out, 'README.md'), 'utf8');
  assert.ok(readme.includes(`register_custom_ops_library("./${library.file}")`));
  const { model, search } = JSON.parse(readFileSync(join(out, 'genai_config.json'), 'utf8'));
  assert.equal(model.decoder.session_options.custom_ops_library, library.file);
  assert.equal(model.decoder.inputs.attention_mask, undefined);
  assert.equal(search.past_present_share_buffer, false);
});

/** The demo with drawn rotations and weights rounded to nearest, on 16 windows. */
async function measured(activations: 8 | 16) {
  const demo = demoFolder();
  const rotation = { r1: 'hadamard', r2: 'hadamard', r3: false } as const;
  const short = await shortExperiment(demo, { rotation, weights: { method: 'rtn', clip: false } });
  const { quantization, evaluation } = short;
  const sixteen = { bits: 16 } as const;
  const experiment: ResolvedExperiment = {
    ...short,
    quantization: {
      ...quantization,
      activations: { ...quantization.activations, bits: activations },
      keys: { ...quantization.keys, ...sixteen },
      values: { ...quantization.values, ...sixteen },
    },
    evaluation: {
      ...evaluation,
      perplexity: evaluation.perplexity.map((task) => ({ ...task, maxWindows: 16 })),
    },
  };
  const { result } = await collect(evaluateAndKeep(experiment, null, {}));
  return { experiment, result };
}

/** The share of W4A8's perplexity that a folder may be off by, as it was ordered. */
const PERPLEXITY_SHARE = 0.01;
/** At 16-bit activations all is exact but two tables in float16, whose errors of 2⁻¹¹ are averaged over 1000 tokens. */
const EXACT_SHARE = 0.002;

for (const [activations, share] of [
  [8, PERPLEXITY_SHARE],
  [16, EXACT_SHARE],
] as const)
  test(`W4A${activations}: the perplexity in onnxruntime-node is that of the engine`, async (t) => {
    const { experiment, result } = await measured(activations);
    const out = join(temporaryFolder(t), 'out');
    const { bits, check } = await written({ run: result.run }, out);
    assert.equal(bits, `W4A${activations}KV16`);
    const { config } = await openCheckpoint(experiment.model);
    const tokenizer = openTokenizer(experiment.model, config.vocabSize);
    const { windows } = await evaluationText(tokenizer, experiment.evaluation.perplexity[0]!);
    const session = await StockSession.open(out, config, 2);
    const stock = await session.perplexity(windows);
    const beginning = await session.perplexity(windows.slice(0, 2));
    await session.release();
    const [{ quantized, fullPrecision } = assert.fail('no perplexity')] = result.perplexity;
    assert.ok(quantized !== null && fullPrecision !== null);
    assert.ok(Math.abs(stock / quantized - 1) < share, `${stock} instead of ${quantized}`);
    assert.ok(fullPrecision / quantized < 1 - 2 * share, 'that of full precision is another');
    assert.ok(check);
    // float64 sums of the same losses.
    assert.ok(Math.abs(check.readBack / beginning - 1) < 1e-6, `${check.readBack} for ${beginning}`);
    assert.ok(Math.abs(check.readBack / check.there - 1) < share, `${check.readBack} for ${check.there}`);
  });

test('a model is written at full precision', async (t) => {
  const out = temporaryFolder(t);
  assert.deepEqual(readdirSync(out), [], 'an empty folder is taken');
  const result = await written({ model: MODEL }, out);
  assert.deepEqual([result.run, result.bits], [null, 'W16A16KV16']);
  assert.equal(result.operators.MatMulNBits, undefined);
  assert.deepEqual(result.notes, ['Weights are not rounded; they are stored as float16.']);
});

test('a folder is whole or absent', async (t) => {
  const parent = temporaryFolder(t);
  const out = join(parent, 'out');
  const stopped = AbortSignal.abort();
  await assert.rejects(written({ run: RUN }, out, {}, stopped), Cancelled);
  const controller = new AbortController();
  const request = {
    from: { run: RUN },
    format: 'onnx',
    target: 'stock',
    out,
    embeddings: 16,
    head: 16,
  } as const;
  await assert.rejects(async () => {
    for await (const event of exportModel(request, { ...OPTIONS, signal: controller.signal }))
      if (event.type === 'phase' && event.phase === 'export') controller.abort();
  }, Cancelled);
  assert.ok(controller.signal.aborted);
  assert.deepEqual(readdirSync(parent), []);
  mkdirSync(out);
  writeFileSync(join(out, 'mine.txt'), 'mine');
  await rejectsWith(() => written({ run: RUN }, out), 'import/exists', /out exists and is not empty/);
  await rejectsWith(
    () => written({ run: RUN }, join(parent, 'no', 'out')),
    'file/unwritable',
    /no\/out cannot be written: there is no such folder/,
  );
  // A folder that takes none, where there is such a thing.
  await rejectsWith(() => written({ run: RUN }, '/proc/out'), 'file/unwritable', /out cannot be written/);
  assert.deepEqual(readdirSync(parent), ['out']);
});

test('a disk that is full leaves nothing behind', {
  skip: process.platform === 'win32' && 'no limit of file sizes',
}, async (t) => {
  const parent = temporaryFolder(t);
  const args = [...MAIN, 'export', RUN, '--format', 'onnx', '--out', join(parent, 'out')];
  // A limit of the size of files meets the same line as a full disk, without one.
  const limited = `trap '' XFSZ; ulimit -f 16; exec "$0" "$@"`;
  const child = spawnSync('sh', ['-c', limited, process.execPath, ...args, '--kernels', 'composed']);
  const { status, stderr } = { status: child.status, stderr: String(child.stderr) };
  assert.match(
    stderr,
    /\/out\/model\.onnx\.data cannot be written: .* no file so large\.\sMake room there, or choose another folder\.\sNothing is left/,
  );
  assert.equal(status, 1);
  assert.deepEqual(readdirSync(parent), []);
});
