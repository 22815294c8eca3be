/** Measuring the demo on products of whole numbers: its perplexity, what results say of it, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResolvedExperiment } from '../../src/config/index.ts';
import { evaluateAndKeep, evaluateExperiment } from '../../src/engine/index.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';
const folder = demoFolder();
const QUANTIZED = { variants: ['quantized'] } as const;

type Quantization = ResolvedExperiment['quantization'];
type Bits = Quantization['weights']['bits'];

async function experiment(
  [weights, activations, cache]: readonly [Bits, Bits, Bits],
  online: boolean,
  windows: number,
): Promise<ResolvedExperiment> {
  const rotation = { r1: 'hadamard', r2: 'hadamard', r3: online && cache < 16, r4: online } as const;
  const short = await shortExperiment(folder, { rotation, weights: { method: 'rtn', bits: weights } });
  const { quantization, evaluation } = short;
  const bits = <T extends object>(quantizer: T, count: Bits): T => ({ ...quantizer, bits: count });
  return {
    ...short,
    quantization: {
      ...quantization,
      activations: bits(quantization.activations, activations),
      keys: bits(quantization.keys, cache),
      values: bits(quantization.values, cache),
    },
    evaluation: {
      ...evaluation,
      perplexity: evaluation.perplexity
        .slice(0, 1)
        .map((text) => ({ ...text, sequenceLength: 128, maxWindows: windows })),
    },
  };
}

async function quantizedPerplexity(asked: ResolvedExperiment, integer: boolean): Promise<number> {
  const { result } = await collect(evaluateExperiment(asked, { ...QUANTIZED, integer }));
  return result.perplexity[0]!.quantized!;
}

test('perplexity on products of whole numbers is that of the simulation to 0.1 %', { skip }, async (t) => {
  // Codes at a border go to either side: their effect on a mean falls with the root of the tokens.
  for (const [bits, online, windows] of [
    [[4, 8, 8], false, 16],
    [[4, 4, 4], true, 48],
  ] as const) {
    const asked = await experiment(bits, online, windows);
    const [found, expected] = [
      await quantizedPerplexity(asked, true),
      await quantizedPerplexity(asked, false),
    ];
    const what = `${bits}: ${found} for ${expected}`;
    t.diagnostic(what);
    assert.ok(Math.abs(found / expected - 1) <= 0.001, what);
    assert.notEqual(found, expected, `${bits}: sums in another order`);
  }
});

test('results say which products were of whole numbers, also where a run keeps them', { skip }, async () => {
  const asked = await experiment([4, 8, 16], true, 2);
  const kept = await collect(evaluateAndKeep(asked, null, { integer: true }));
  const { run: dir, products, perplexity } = kept.result;
  const linears = [...LINEARS];
  assert.deepEqual(products, { integer: linears, others: [] });
  assert.deepEqual(perplexity[0]!.integer, linears);
  const run = await openRun(dir);
  assert.deepEqual((await run.readResults()).perplexity[0]!.integer, linears);
  // The full-precision network is measured again, the quantized one is not: its products stay.
  await collect(evaluateExperiment(asked, { runDir: dir, variants: ['full-precision'] }));
  assert.deepEqual((await run.readResults()).perplexity[0]!.integer, linears);
  const { result } = await collect(evaluateExperiment(asked, { runDir: dir, ...QUANTIZED }));
  assert.equal(result.products, null);
  assert.equal((await run.readResults()).perplexity[0]!.integer, undefined);
});

test('where nothing can be of whole numbers, the network is as it was, and results say why', {
  skip,
}, async () => {
  for (const [bits, reason] of [
    [[16, 8, 16], 'weights have 16 bits'],
    [[4, 16, 16], 'activations have 16 bits'],
  ] as const) {
    const asked = await experiment(bits, false, 2);
    const { result } = await collect(evaluateExperiment(asked, { ...QUANTIZED, integer: true }));
    assert.deepEqual(result.products, { integer: [], others: [{ linears: [...LINEARS], reason }] });
    assert.equal(result.perplexity[0]!.quantized, await quantizedPerplexity(asked, false));
  }
});

test('without our kernels it is refused', async () => {
  const asked = await experiment([4, 8, 16], true, 2);
  await assert.rejects(
    collect(evaluateExperiment(asked, { ...QUANTIZED, integer: true, kernels: 'composed' })),
    { code: 'integer/no-kernels' },
  );
});
