/** GPTQ over a whole golden network: its files, its errors, what interrupts it, and the network made of it. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Value } from '../../src/engine/graph/graph.ts';
import { hadamard } from '../../src/engine/graph/kernels/hadamard.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { concatenate } from '../../src/engine/learn/gradient-step.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { ObservedSite } from '../../src/engine/network/layer.ts';
import { LINEAR_ROLES, type LinearRole, preparedName } from '../../src/engine/network/layer-inputs.ts';
import { compilePrepare, layerExpression } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import type { Activations, Network } from '../../src/engine/network/network.ts';
import { ProgramCache } from '../../src/engine/network/programs.ts';
import { preparedTensors, type RoundedMatrix } from '../../src/engine/network/rounded-weights.ts';
import { roundWeights } from '../../src/engine/rounding/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { RoundingEvent, RunEvent } from '../../src/protocol/events.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const GOLDEN = join(import.meta.dirname, '..', 'goldens', 'models', 'llama');
const SEQUENCE = 24;
const WEIGHTS = { bits: 4, symmetric: true, group: 0, clipSearch: true };

interface Setting {
  readonly kernels: (typeof KERNELS)[number];
  readonly weights?: Partial<typeof WEIGHTS>;
  readonly memory?: Partial<NetworkMemory>;
}

async function bench(t: TestContext, { kernels, weights, memory }: Setting) {
  const runtime = await createRuntime({ threads: 1, kernels });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(GOLDEN);
  const quantizers = { ...FULL_PRECISION, weights: { ...WEIGHTS, ...weights } };
  const options = { mode: 'merged', quantizers, memory: { ...DEFAULT_MEMORY, ...memory } } as const;
  const { network } = rotatedNetwork(cache, checkpoint, options);
  const folder = await mkdtemp(join(tmpdir(), 'rounding-test-'));
  t.after(async () => {
    await cache.release();
    runtime.close();
    await rm(folder, { recursive: true });
  });
  const blocks = differentWindows(checkpoint.config, 10, SEQUENCE);
  const layers = new RoundedLayers(folder, 'key');
  const run = (signal?: AbortSignal): AsyncGenerator<RunEvent, void> =>
    roundWeights(cache, { network, blocks, damping: 0.01, layers }, signal);
  return { cache, checkpoint, network, folder, layers, blocks, run };
}

async function collect(events: AsyncGenerator<RunEvent, void>): Promise<RoundingEvent[]> {
  const found: RoundingEvent[] = [];
  for await (const event of events) if (event.type === 'rounding') found.push(event);
  return found;
}

async function filesOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const tensors = async (name: string): Promise<string> => {
    // The header ends with the metadata's seconds in it: what follows is compared.
    const bytes = await readFile(join(folder, name));
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))).toString('hex');
  };
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await tensors(name)])));
}

const SITE_OF = {
  q: 'attention-input',
  k: 'attention-input',
  v: 'attention-input',
  o: 'o-input',
  gate: 'mlp-input',
  up: 'mlp-input',
  down: 'down-input',
} as const satisfies Record<LinearRole, ObservedSite>;

interface ThroughLayer {
  /** What the linear layers read, of all blocks. */
  readonly rows: Record<string, Float32Array>;
  /** Their weights, rotated and not rounded. */
  readonly exact: Record<string, Float32Array>;
}

/** The text through whole layers of rounded weights, with no stages in between. */
async function throughRounded(
  cache: ProgramCache,
  network: Network,
  layers: RoundedLayers,
  blocks: readonly Int32Array[],
): Promise<ThroughLayer[]> {
  const ids = concatenate(blocks);
  const batch = { batch: blocks.length, sequence: SEQUENCE };
  let x = await network.embed(ids);
  const found: ThroughLayer[] = [];
  for (let layer = 0; layer < network.layers; layer++) {
    const { shape, types, tensors } = network.layerContext(layer, batch);
    const plain = { ...shape, weightCodes: false, quantizers: FULL_PRECISION };
    const seen: Record<string, Value> = {};
    const { graph, y } = layerExpression(plain, types, 'merged', false, 'float32', (site, value) => {
      seen[site] = site === 'down-input' ? hadamard(value, shape.rotations.r4!) : value;
    });
    const program = await Program.compile(cache.runtime, graph, { ...seen, y });
    const prepare = await compilePrepare(cache.runtime, plain, types, 'inside');
    const given = { ...tensors, ...network.matrices(layer) };
    const exact = await prepare.run(given);
    const weights = LINEAR_ROLES.map((role) => preparedTensors(role, layers.read(layer)[role], false));
    const rows = await program.run(Object.assign({ ...given, x }, ...weights));
    const data = (tensors: Record<string, HostTensor>, name: string) => tensors[name]!.data as Float32Array;
    found.push({
      rows: Object.fromEntries(Object.keys(seen).map((site) => [site, data(rows, site)])),
      exact: Object.fromEntries(LINEAR_ROLES.map((role) => [role, data(exact, preparedName(role))])),
    });
    x = rows.y as Activations;
    program.release();
    prepare.release();
  }
  return found;
}

/** Σ‖x (Ŵ − W)ᵀ‖² / Σ‖x Wᵀ‖² in double precision. */
function outputError(x: Float32Array, w: Float32Array, matrix: RoundedMatrix): number {
  const { rows, columns } = matrix;
  const rounded = preparedTensors('q', matrix, false)['q.prepared']!.data as Float32Array;
  let [error, all] = [0, 0];
  for (let token = 0; token < x.length / columns; token++) {
    for (let row = 0; row < rows; row++) {
      let [wanted, given] = [0, 0];
      for (let i = 0; i < columns; i++) {
        wanted += x[token * columns + i]! * w[row * columns + i]!;
        given += x[token * columns + i]! * rounded[row * columns + i]!;
      }
      error += (given - wanted) ** 2;
      all += wanted ** 2;
    }
  }
  return error / all;
}

for (const kernels of KERNELS) {
  test(`${kernels}: every linear layer errs less than rounded to nearest`, async (t) => {
    const { run, folder, checkpoint } = await bench(t, { kernels });
    const events = await collect(run());
    assert.deepEqual(
      events.map(({ layer }) => layer),
      Array.from({ length: checkpoint.config.layers }, (_, layer) => layer),
    );
    for (const { errors } of events) {
      assert.deepEqual(errors.map(({ linear }) => linear).sort(), ['down', 'gate', 'k', 'o', 'q', 'up', 'v']);
      for (const { linear, gptq, nearest } of errors) {
        assert.ok(gptq > 0 && gptq < nearest && nearest < 0.1, `${linear}: ${gptq} against ${nearest}`);
      }
    }
    assert.equal((await readdir(folder)).length, events.length, 'no scratch file is left');
  });

  test(`${kernels}: stopped between layers, it goes on to the same bits`, async (t) => {
    const whole = await bench(t, { kernels });
    await collect(whole.run());
    const stopped = await bench(t, { kernels });
    for await (const event of stopped.run()) if (event.type === 'rounding') break;
    assert.deepEqual(await readdir(stopped.folder), ['layer-0000.safetensors']);
    const resumed = await collect(stopped.run());
    assert.equal(resumed.length, whole.network.layers, 'layers that were rounded before are told again');
    assert.deepEqual(await filesOf(stopped.folder), await filesOf(whole.folder));
  });

  test(`${kernels}: scratch files instead of memory, and one sequence at a time, change nothing`, async (t) => {
    const wide = await bench(t, { kernels });
    await collect(wide.run());
    const narrow = await bench(t, { kernels, memory: { groupBytes: 0 } });
    await collect(narrow.run());
    assert.deepEqual(await filesOf(narrow.folder), await filesOf(wide.folder));
  });

  for (const weights of [{}, { symmetric: false }, { group: 8 }, { group: 8, symmetric: false, bits: 3 }])
    test(`${kernels}: errors are those of the written weights on what they read: ${JSON.stringify(weights)}`, async (t) => {
      const { run, layers, cache, network, blocks } = await bench(t, { kernels, weights });
      const events = await collect(run());
      const text = await throughRounded(cache, network, layers, blocks);
      for (const { layer, errors } of events) {
        const written = layers.read(layer);
        for (const { linear, gptq } of errors) {
          const role = linear as LinearRole;
          const rows = text[layer]!.rows[SITE_OF[role]];
          const found = outputError(rows, text[layer]!.exact[role], written[role]);
          // Moments and products are rounded to float32, or to two bfloat16 numbers (2^-16) where there are tiles.
          assert.ok(
            Math.abs(found / gptq - 1) < 2 ** -9,
            `layer ${layer}, ${linear}: ${found} against ${gptq}`,
          );
        }
      }
    });
}

test('files of other settings are not taken for those of this one', async (t) => {
  const { run, folder } = await bench(t, { kernels: 'composed' });
  await collect(run());
  assert.equal(new RoundedLayers(folder, 'key').isComplete(2), true);
  assert.equal(new RoundedLayers(folder, 'another').isComplete(2), false);
});

test('a cancelled call leaves whole layers only', async (t) => {
  const { run, folder } = await bench(t, { kernels: 'composed' });
  const controller = new AbortController();
  const events = run(controller.signal);
  // A slow machine tells of progress before.
  while ((await events.next()).value?.type !== 'rounding');
  controller.abort();
  await assert.rejects(collect(events));
  assert.deepEqual(await readdir(folder), ['layer-0000.safetensors']);
});
