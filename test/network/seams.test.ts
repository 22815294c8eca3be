/** The table of the places where maps may stand, and that what it allows leaves the network's function alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import {
  type MapFamily,
  NO_MAPS,
  readSeams,
  type Seam,
  type SeamMap,
  type SeamMaps,
  type SeamState,
  seamOf,
  seamsOf,
  symbolOf,
  writtenSeams,
} from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { LINEARS, type Linear, SEAM_NAMES, SITES, type Site, seamsAt } from '../../src/protocol/block.ts';
import { KRONECKER_MAPS, kroneckerState } from '../helpers/kronecker.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { TINY_CONFIG, tinyQuantizers } from '../helpers/tiny-network.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

/** This stands at one seam: its map, and the numbers of all its maps. */
interface Standing {
  readonly map: SeamMap;
  readonly numbers: readonly Float32Array[];
}

/** A random map of a family at a seam; null where no graph has such maps there yet. */
function standing(seam: Seam, family: MapFamily, rng: Rng): Standing | null {
  const { name, width, channels, count } = seam;
  const numbers = (one: () => Float32Array) => Array.from({ length: count }, one);
  const rotation = () => Float32Array.from(haarRotation(width, rng));
  if (family === 'orthogonal' && name === 'residual')
    return { map: { kind: 'dense' }, numbers: numbers(rotation) };
  if (family === 'orthogonal' && name === 'value')
    return { map: { kind: 'heads' }, numbers: numbers(rotation) };
  if (family === 'diagonal') {
    const isBeforeRope = name === 'query-key' || name === 'query-key-scale';
    const drawn = () => (isBeforeRope ? pairs(width, channels, rng) : factors(channels, rng));
    return { map: { kind: 'diagonal' }, numbers: numbers(drawn) };
  }
  return null;
}

/** Factors of heads, equal for the two channels that RoPE turns into each other: i and i + half a head. */
function pairs(width: number, channels: number, rng: Rng): Float32Array {
  const drawn = factors(channels, rng);
  const half = width / 2;
  return drawn.map((_, i) => drawn[i % width < half ? i : i - half]!);
}

/** Factors of both signs, of sizes between a third and three. */
function factors(width: number, rng: Rng): Float32Array {
  const one = () => (rng.uniform() < 0.5 ? -1 : 1) * 3 ** (2 * rng.uniform() - 1);
  return Float32Array.from({ length: width }, one);
}

/** Merged maps that the table allows and no graph has. */
const NOT_YET = ['value invertible'];

/** Sets of maps to put into a network: each by itself, then those that go together. */
function settings({ config }: Checkpoint): Map<string, readonly [SeamMaps, SeamState]> {
  const rng = new Rng(1);
  const alone = seamsOf(config).flatMap((seam) =>
    seam.merged.flatMap((family) => {
      const label = `${seam.name} ${family}`;
      const found = standing(seam, family, rng);
      assert.equal(found === null, NOT_YET.includes(label), label);
      return found ? [[seam.name, label, found] as const] : [];
    }),
  );
  const together = (...labels: readonly string[]) => {
    const some = alone.filter(([, label]) => labels.includes(label));
    assert.equal(some.length, labels.length);
    return [
      Object.fromEntries(some.map(([name, , { map }]) => [name, map])) as SeamMaps,
      Object.fromEntries(some.map(([name, , { numbers }]) => [name, numbers])) as SeamState,
    ] as const;
  };
  const norms = ['attention-norm diagonal', 'mlp-norm diagonal'] as const;
  const diagonals = alone.flatMap(([, label]) => (label.endsWith('diagonal') ? [label] : []));
  const [all, state] = together('residual orthogonal', 'value orthogonal', ...norms);
  const ofKeys = config.qkNorm ? [] : ['query-key-scale diagonal'];
  const [scales, scaled] = together('value-scale diagonal', ...ofKeys, 'up-scale diagonal');
  const online: SeamMaps = {
    'query-key': { kind: 'hadamard', transform: planHadamard(config.headDim) },
    'up-down': { kind: 'hadamard', transform: planHadamard(config.intermediateSize) },
  };
  const apart: SeamState = {
    ...state,
    value: Array.from({ length: config.layers * config.kvHeads }, () =>
      Float32Array.from(haarRotation(config.headDim, rng)),
    ),
  };
  const across: SeamMap = { kind: 'across-heads', transform: planHadamard(config.heads) };
  return new Map([
    ...alone.map(([, label]) => [label, together(label)] as const),
    ['both norms', together(...norms)],
    ['residual and both norms', together('residual orthogonal', ...norms)],
    ['every diagonal', together(...diagonals)],
    ['residual and every diagonal', together('residual orthogonal', ...diagonals)],
    ['products of Kronecker', [KRONECKER_MAPS, kroneckerState(config, 3)]],
    [
      'residual, value and products of Kronecker',
      [
        { residual: all.residual, value: all.value, ...KRONECKER_MAPS } as SeamMaps,
        { residual: state.residual, value: state.value, ...kroneckerState(config, 4) } as SeamState,
      ],
    ],
    ['across heads', [{ 'across-heads': across }, {}]],
    ['all, with Hadamard transforms', [{ ...all, ...online }, state]],
    ['all, with a rotation of each head', [{ ...all, ...online, value: { kind: 'each-head' } }, apart]],
    [
      'scales before R2, R3 and R4',
      [
        { ...scales, ...online, value: all.value! },
        { ...scaled, ...state },
      ],
    ],
    [
      'scales before a rotation of each head',
      [
        { ...scales, value: { kind: 'each-head' } },
        { ...scaled, value: apart.value! },
      ],
    ],
    ['all, and across heads', [{ ...all, ...online, 'across-heads': across }, state]],
  ]);
}

for (const kernels of KERNELS) {
  for (const name of GOLDEN_NAMES) {
    test(`${name}: maps at their seams leave the logits alone (${kernels} kernels)`, async (t) => {
      const golden = readGolden(name);
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      // As for rotations in golden-logits.test.ts: terms keep their size, products and factors round once more.
      const bound = 4 * golden.float32MaxDifference;
      const expected = golden.logits.flat();
      for (const [label, [maps, state]] of settings(checkpoint)) {
        const options = { mode: 'merged', quantizers: FULL_PRECISION, maps, centreEmbedding: false } as const;
        const network = new Network(cache, checkpoint, options);
        network.setMaps(state);
        const logits = await sequenceLogits(network, Int32Array.from(golden.ids));
        const largest = logits.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
        t.diagnostic(`${label}: max |Δlogit| ${largest.toExponential(2)}, bound ${bound.toExponential(2)}`);
        assert.ok(largest <= bound, `${label}: logits differ by ${largest}, bound ${bound}`);
      }
      await cache.release();
      runtime.close();
    });
  }
}

test('the same maps do act: 4-bit quantizers see other numbers', async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const ids = Int32Array.from(readGolden('llama').ids);
  const quantizers = tinyQuantizers(checkpoint.config, 16);
  const logitsWith = (maps: SeamMaps, state: SeamState) => {
    const network = new Network(cache, checkpoint, {
      mode: 'merged',
      quantizers,
      maps,
      centreEmbedding: false,
    });
    network.setMaps(state);
    return sequenceLogits(network, ids);
  };
  const seen = [await logitsWith(NO_MAPS, {})];
  for (const [label, [maps, state]] of settings(checkpoint)) {
    const logits = await logitsWith(maps, state);
    for (const other of seen) assert.ok(differ(logits, other), label);
    seen.push(logits);
  }
  await cache.release();
  runtime.close();
});

/** By more than rounding to float32 could. */
function differ(a: Float32Array, b: Float32Array): boolean {
  return a.some((value, i) => Math.abs(value - b[i]!) > 0.01);
}

/** Logits of a golden network with maps, which are expected to be refused. */
async function refusedWith(name: string, maps: SeamMaps, state: SeamState, message: RegExp): Promise<void> {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const options = { mode: 'merged', quantizers: FULL_PRECISION, maps, centreEmbedding: false } as const;
  const network = new Network(cache, checkpoint, options);
  network.setMaps(state);
  await assert.rejects(sequenceLogits(network, Int32Array.of(1, 2)), message);
  await cache.release();
  runtime.close();
}

test('a map that no graph has is refused', async () => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const transform = planHadamard(config.headDim);
  await refusedWith('llama', { value: { kind: 'hadamard', transform } }, {}, /hadamard/);
});

test('scales of queries and keys are refused where heads have norms', async () => {
  const normed = GOLDEN_NAMES.find((name) => name.startsWith('qwen3'))!;
  const { headDim, kvHeads, layers } = (await openCheckpoint(goldenFolder(normed))).config;
  const twos = Array.from({ length: layers }, () => new Float32Array(kvHeads * headDim).fill(2));
  for (const seam of ['query-key', 'query-key-scale'] as const)
    await refusedWith(
      normed,
      { [seam]: { kind: 'diagonal' } },
      { [seam]: twos },
      /no diagonal map .* query-key/,
    );
});

/** The site whose rows a linear layer reads. */
const READS: Readonly<Record<Linear, Site>> = {
  q: 'attention-input',
  k: 'attention-input',
  v: 'attention-input',
  o: 'o-input',
  gate: 'mlp-input',
  up: 'mlp-input',
  down: 'down-input',
};

test('every linear layer reads through the seams of its site, and the table knows all seven', () => {
  for (const linear of LINEARS) assert.deepEqual(readSeams(linear), seamsAt(READS[linear]), linear);
  assert.ok(LINEARS.every((linear) => readSeams(linear).length > 0));
  const seams = seamsOf(TINY_CONFIG);
  for (const linear of LINEARS) {
    const named = (of: 'readers' | 'writers') =>
      seams.filter((seam) => seam[of].includes(linear)).map(({ name }) => name);
    assert.deepEqual(named('readers'), readSeams(linear), linear);
    assert.deepEqual(named('writers'), writtenSeams(linear), linear);
  }
  assert.deepEqual(Object.fromEntries(LINEARS.map((linear) => [linear, writtenSeams(linear)])), {
    ...{ q: [], k: [], v: ['value-scale', 'value'], o: ['residual'] },
    ...{ gate: [], up: ['up-scale'], down: ['residual'] },
  });
});

test('every site is seen through a seam, and seams stand in one order', () => {
  const seams = seamsOf(TINY_CONFIG);
  assert.deepEqual(
    seams.map(({ name }) => name),
    SEAM_NAMES,
  );
  for (const site of SITES) {
    const names = seams.filter(({ sites }) => sites.includes(site)).map(({ name }) => name);
    assert.ok(names.length > 0, site);
    assert.deepEqual(names, seamsAt(site), site);
  }
});

test('widths and counts are those of the model', () => {
  const { hiddenSize, intermediateSize, heads, headDim, kvHeads, layers } = TINY_CONFIG;
  const facts = SEAM_NAMES.map((name) => {
    const { symbol, width, channels, count, perLayer, perHead } = seamOf(name, TINY_CONFIG);
    assert.equal(count, perLayer ? layers : 1, name);
    assert.equal(channels, perHead ? kvHeads * width : width, name);
    return [name, symbol, width, count, perHead];
  });
  assert.deepEqual(facts, [
    ['residual', 'R1', hiddenSize, 1, false],
    ['attention-norm', 'S', hiddenSize, layers, false],
    ['mlp-norm', 'S', hiddenSize, layers, false],
    ['value-scale', 'S', headDim, layers, true],
    ['value', 'R2', headDim, layers, true],
    ['across-heads', 'H', heads, layers, false],
    ['query-key-scale', 'S', headDim, layers, true],
    ['query-key', 'R3', headDim, layers, true],
    ['up-scale', 'S', intermediateSize, layers, false],
    ['up-down', 'R4', intermediateSize, layers, false],
  ]);
});

test('scales are called S wherever they stand, rotations by their place', () => {
  assert.deepEqual(
    SEAM_NAMES.map((name) => symbolOf(name, { kind: 'diagonal' })),
    SEAM_NAMES.map(() => 'S'),
  );
  assert.equal(symbolOf('value', { kind: 'heads' }), 'R2');
  assert.equal(symbolOf('residual', { kind: 'dense' }), 'R1');
});

test('what each seam allows, and that it says why', () => {
  const allowed = seamsOf(TINY_CONFIG).map(({ name, merged, online, why }) => {
    assert.match(why, /^[A-Z].*\.$/, name);
    return [name, merged, online];
  });
  assert.deepEqual(allowed, [
    ['residual', ['orthogonal'], []],
    ['attention-norm', ['diagonal'], ['orthogonal', 'invertible']],
    ['mlp-norm', ['diagonal'], ['orthogonal', 'invertible']],
    ['value-scale', ['diagonal'], []],
    ['value', ['diagonal', 'orthogonal', 'invertible'], ['hadamard']],
    ['across-heads', [], ['hadamard']],
    ['query-key-scale', [], []],
    ['query-key', [], ['hadamard', 'orthogonal']],
    ['up-scale', ['diagonal'], []],
    ['up-down', ['diagonal'], ['hadamard', 'invertible']],
  ]);
  for (const seam of ['query-key-scale', 'query-key'] as const) {
    const { merged } = seamOf(seam, { ...TINY_CONFIG, qkNorm: false });
    assert.deepEqual(merged, ['diagonal'], 'without norms of heads, before RoPE too');
  }
});
