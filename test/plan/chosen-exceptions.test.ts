/** Exceptions that the product chooses: in the layers that cost most, or within a budget of average bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decidingDifferences,
  type Exception,
  experimentSchema,
  type ResolvedExperiment,
} from '../../src/config/index.ts';
import {
  attributeAndKeep,
  evaluateExperiment,
  optimizeRotation,
  runToResume,
} from '../../src/engine/index.ts';
import { averageBits, exceptionsWithin } from '../../src/engine/plan/choose/budget.ts';
import { withWorstLayers } from '../../src/engine/plan/choose/layers-by-cost.ts';
import type { RoundedPart } from '../../src/protocol/block.ts';
import { openRun } from '../../src/runs/index.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

const quantizationOf = (exceptions?: readonly object[]) =>
  experimentSchema.parse({ model: 'm', quantization: { exceptions } }).quantization;

function exceptionOf(exception: object): Exception {
  return quantizationOf([exception]).exceptions![0]!;
}

const cell = (layer: number, part: RoundedPart, share: number) => ({ layer, part, share, rise: 0, bits: 4 });

test('the worst layers are those in which the parts of the exception cost most', () => {
  const cells = [
    cell(0, 'down-input', 1),
    cell(1, 'down-input', 3),
    cell(2, 'down-input', 2),
    cell(0, 'down-weight', 9),
    cell(2, 'up-weight', 99),
    cell(1, 'key', 50),
  ];
  const layersOf = (exception: object) => withWorstLayers(exceptionOf(exception), { cells }).layers;
  assert.deepEqual(layersOf({ sites: 'down', layers: 'worst:2', activations: { bits: 8 } }), [1, 2]);
  assert.deepEqual(
    layersOf({ sites: 'down', layers: 'worst:1', activations: { bits: 8 }, weights: { bits: 8 } }),
    [0],
  );
  assert.deepEqual(layersOf({ layers: 'worst:1', keys: { bits: 8 } }), [1]);
  assert.equal(layersOf({ layers: '0-1', keys: { bits: 8 } }), '0-1');
});

test('average bits are those of what is multiplied, and a budget is kept', () => {
  const config = { ...TINY_CONFIG, layers: 2 };
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim } = config;
  const sequence = 32;
  assert.equal(averageBits(quantizationOf(), config, sequence), 4);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const layer = 2 * d * queries + 2 * d * keys + 3 * d * f + queries * sequence;
  // One of two layers: 8 bits of half of each product of down, and of the keys in the scores.
  const own = quantizationOf([
    { sites: 'down', layers: [1], activations: { bits: 8 } },
    { layers: [0], keys: { bits: 8 } },
  ]);
  const expected = 4 + (2 * d * f + (4 * queries * sequence) / 2) / (2 * layer);
  assert.ok(Math.abs(averageBits(own, config, sequence) - expected) < 1e-12);

  const cells = [
    cell(0, 'key', 5),
    cell(1, 'q-weight', 3),
    cell(1, 'down-input', 2),
    cell(0, 'up-weight', -1),
  ];
  const place = { config, sequence };
  for (const budget of [4.01, 4.1, 4.5, 5, 8]) {
    const exceptions = exceptionsWithin(budget, quantizationOf(), { cells }, place);
    assert.ok(averageBits({ ...quantizationOf(), exceptions }, config, sequence) <= budget + 1e-12);
    // What costs nothing, or less than nothing, gets no bits, whatever there are.
    assert.ok(!exceptions.some(({ weights, sites }) => weights && sites === 'gate-up'));
  }
  const all = exceptionsWithin(8, quantizationOf(), { cells }, place);
  assert.equal(all.length, 3);
  const [first] = exceptionsWithin(8, quantizationOf(), { cells: [cell(0, 'key', 5)] }, place);
  assert.deepEqual([first?.layers, first?.keys], [[0], { bits: 8, clipRatio: 1 }]);
});

const folder = demoFolder();

async function demo(quantization: object): Promise<ResolvedExperiment> {
  const short = await shortExperiment(folder, { weights: { method: 'rtn' } });
  return { ...short, quantization: { ...short.quantization, ...quantization } };
}

const quantizedOf = (results: readonly { readonly quantized: number | null }[]) => results[0]!.quantized!;

test('a run keeps the layers that it chose, goes on with them, and is measured with them', async () => {
  const uniform = await demo({});
  const exceptions = [exceptionOf({ layers: 'worst:2', activations: { bits: 8 }, weights: { bits: 8 } })];
  const asked = await demo({ exceptions });
  const { result } = await collect(optimizeRotation(asked, {}));
  const run = await openRun(result.run);
  const then = await run.readExperiment();
  const { layers } = then.quantization.exceptions![0]!;
  assert.equal(layers.length, 2);
  assert.equal(run.record.bits, 'W4A4KV4 mixed');
  // The file still says "worst:2": the run is one of it, unless it asks for other layers.
  assert.deepEqual(decidingDifferences(then, asked, 'same'), []);
  const three = { ...exceptions[0]!, layers: 'worst:3' };
  assert.equal(decidingDifferences(then, await demo({ exceptions: [three] }), 'same').length, 1);
  await assert.rejects(runToResume(asked, result.run), /finished/);
  const again = await collect(evaluateExperiment(asked, { rotations: result.run, variants: ['quantized'] }));
  assert.equal(quantizedOf(again.result.perplexity), quantizedOf(result.perplexity));
  const without = await collect(
    evaluateExperiment(uniform, { rotations: result.run, variants: ['quantized'] }),
  );
  assert.ok(quantizedOf(result.perplexity) < quantizedOf(without.result.perplexity));
});

test('more bits lower the perplexity, and the curve is kept', async () => {
  const asked = await demo({ budget: 4.5 });
  const rotation = { ...asked.rotation, r1: 'hadamard', r2: 'hadamard' } as const;
  const options = { variants: ['quantized'] } as const;
  const { result, events } = await collect(evaluateExperiment({ ...asked, rotation }, options));
  const said = events.flatMap((event) => (event.type === 'phase' ? (event.detail ?? '') : [])).join('\n');
  const bits = Number(/([\d.]+) bits on average/.exec(said)?.[1]);
  assert.ok(bits > 4.2 && bits <= 4.5, said);
  const { result: kept } = await collect(
    attributeAndKeep({ ...asked, rotation }, null, { curve: true, tokens: 512 }),
  );
  const curve = kept.curve!.map((point) => quantizedOf(point.perplexity));
  assert.ok(
    curve.length > 4 && kept.curve!.every((point, i) => i === 0 || point.bits > kept.curve![i - 1]!.bits),
  );
  assert.ok(quantizedOf(result.perplexity) < curve[0]!);
  assert.ok(curve.at(-1)! < curve[0]!);
});
