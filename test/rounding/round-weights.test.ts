/** GPTQ over a whole golden network: its files, its errors, what interrupts it, and the network made of it. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { StageSpec } from '../../src/engine/calibration/stages.ts';
import { concatenate } from '../../src/engine/calibration/tokens.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import type { Value } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { preparedName } from '../../src/engine/network/layer-inputs.ts';
import { layerExpression, PREPARE } from '../../src/engine/network/layer-programs.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY, type NetworkMemory } from '../../src/engine/network/memory-plan.ts';
import type { Activations, Network } from '../../src/engine/network/network.ts';
import { preparedTensors } from '../../src/engine/network/rounded-weights.ts';
import { timesTransform } from '../../src/engine/network/side-transform.ts';
import type { RoundingOptions } from '../../src/engine/rounding/gptq/layer-rounder.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { LINEARS, type Linear, type Site } from '../../src/protocol/block.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { RoundingEvent, RunEvent } from '../../src/protocol/events.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { rejectsWith } from '../formats/support.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const GOLDEN = join(import.meta.dirname, '..', 'goldens', 'models', 'llama');
const SEQUENCE = 24;
const WEIGHTS = { bits: 4, symmetric: true, group: 0, clipSearch: true };

interface Setting {
  readonly kernels: (typeof KERNELS)[number];
  readonly weights?: Partial<typeof WEIGHTS>;
  readonly memory?: Partial<NetworkMemory>;
  readonly model?: string;
  readonly options?: Partial<RoundingOptions>;
  readonly mixesHeads?: boolean;
  readonly mixesProducts?: boolean;
}

async function bench(
  t: TestContext,
  { kernels, weights, memory, model, options: changed, mixesHeads = false, mixesProducts = true }: Setting,
) {
  const runtime = await createRuntime({ threads: 1, kernels });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(model ?? GOLDEN);
  const quantizers = { ...FULL_PRECISION, weights: { ...WEIGHTS, ...weights } };
  const options = { mode: 'merged', quantizers, memory: { ...DEFAULT_MEMORY, ...memory } } as const;
  const { network } = rotatedNetwork(cache, checkpoint, { ...options, mixesHeads, mixesProducts });
  const folder = await mkdtemp(join(tmpdir(), 'rounding-test-'));
  t.after(async () => {
    await cache.release();
    runtime.close();
    await rm(folder, { recursive: true });
  });
  const blocks = differentWindows(checkpoint.config, 10, SEQUENCE);
  const layers = new RoundedLayers(folder, 'key');
  const run = (signal?: AbortSignal): AsyncGenerator<RunEvent, void> =>
    roundWeights(cache, { network, blocks, options: { ...PLAIN_GPTQ, ...changed }, layers }, signal);
  return { cache, checkpoint, network, folder, layers, blocks, run };
}

/** Fills with whether each program that ends a layer takes what down reads. */
function endsOf(cache: ProgramCache): boolean[] {
  const found: boolean[] = [];
  const get = cache.get.bind(cache);
  cache.get = async (kind, spec) => {
    const program = await get(kind, spec);
    const { stage } = spec as Partial<StageSpec>;
    if (stage === 'end') found.push(program.inputs.includes('product'));
    return program;
  };
  return found;
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
} as const satisfies Record<Linear, Site>;

interface ThroughLayer {
  /** The linear layers read these rows, of all blocks. */
  readonly rows: Record<string, Float32Array>;
  /** Their weights, rotated and not rounded, and rounded to nearest. */
  readonly exact: Record<string, Float32Array>;
  readonly nearest: Record<string, Float32Array>;
}

const data = (tensors: Record<string, HostTensor>, name: string) => tensors[name]!.data as Float32Array;

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
    const plain = { ...shape, weightForm: 'numbers' as const, quantizers: FULL_PRECISION };
    const seen: Record<string, Value> = {};
    const r4 = shape.maps['up-down'];
    assert.ok(r4?.kind === 'hadamard');
    const { graph, y, inputs } = layerExpression(plain, types, 'merged', false, 'float32', (site, value) => {
      seen[site] = site === 'down-input' ? hadamard(value, r4.transform) : value;
    });
    seen['o-input'] = timesTransform(seen['o-input']!, inputs.map('across-heads'));
    const program = await Program.compile(cache.runtime, graph, { ...seen, y });
    const given = { ...tensors, ...network.maps(layer) };
    const prepared = async (quantizers: LayerQuantizers): Promise<Record<string, Float32Array>> => {
      const spec = { shape: { ...plain, quantizers }, types, ratios: 'inside' } as const;
      const found = await (await cache.get(PREPARE, spec)).run(given);
      return Object.fromEntries(LINEARS.map((linear) => [linear, data(found, preparedName(linear))]));
    };
    const weights = LINEARS.map((linear) => preparedTensors(linear, layers.read(layer)[linear], false));
    const rows = await program.run(Object.assign({ ...given, x }, ...weights));
    found.push({
      rows: Object.fromEntries(Object.keys(seen).map((site) => [site, data(rows, site)])),
      exact: await prepared(FULL_PRECISION),
      nearest: await prepared(shape.quantizers),
    });
    x = rows.y as Activations;
    program.release();
  }
  return found;
}

/**
 * Σ‖x (Ŵ − W)ᵀ‖² / Σ‖x Wᵀ‖² in double precision.
 * @returns it, and how far the figure of a run may be off: it sums products of e H eᵀ with H = Σ x xᵀ, in float32, each off
 * by 3·2⁻¹⁶ of it at most where there are tiles of bfloat16, of numbers that cancel.
 */
function outputError(x: Float32Array, w: Float32Array, rounded: Float32Array, columns: number) {
  const [tokens, rows] = [x.length / columns, w.length / columns];
  const perProduct = 2 * 3 * 2 ** -16 + (tokens + 2 * columns) * 2 ** -24;
  let [error, all, absolute] = [0, 0, 0];
  for (let token = 0; token < tokens; token++) {
    for (let row = 0; row < rows; row++) {
      let [wanted, off, sizes] = [0, 0, 0];
      for (let i = 0; i < columns; i++) {
        const at = row * columns + i;
        const term = x[token * columns + i]! * (rounded[at]! - w[at]!);
        wanted += x[token * columns + i]! * w[at]!;
        off += term;
        sizes += Math.abs(term);
      }
      error += off ** 2;
      all += wanted ** 2;
      absolute += sizes ** 2;
    }
  }
  return { share: error / all, bound: 2 * perProduct * (absolute / all) };
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
      for (const { linear, error, nearest } of errors) {
        assert.ok(error > 0 && error < nearest && nearest < 0.1, `${linear}: ${error} against ${nearest}`);
      }
    }
    assert.equal((await readdir(folder)).length, events.length, 'no scratch file is left');
  });

  test(`${kernels}: in the order of moments, with fresh scales and what is added, too, and stopped between layers`, async (t) => {
    const weights = { group: 8 };
    const plain = await bench(t, { kernels, weights });
    await collect(plain.run());
    for (const options of [
      { actOrder: true },
      { groupScales: 'updated' },
      {
        ...{ foem: 0.1, sweeps: 2, magr: 0.001, magrSteps: 10, actOrder: true },
        ...{ learnedClip: true, learnedClipSteps: 5 },
      },
    ] as const) {
      const whole = await bench(t, { kernels, weights, options });
      for (const { errors } of await collect(whole.run()))
        for (const { linear, error, nearest } of errors)
          assert.ok(error > 0 && error < nearest, `${linear}: ${error} against ${nearest}`);
      const files = await filesOf(whole.folder);
      assert.notDeepEqual(files, await filesOf(plain.folder));
      const stopped = await bench(t, { kernels, weights, options });
      for await (const event of stopped.run()) if (event.type === 'rounding') break;
      await collect(stopped.run());
      assert.deepEqual(await filesOf(stopped.folder), files);
    }
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

  test(`${kernels}: scratch files instead of memory change nothing`, async (t) => {
    // Parts of three, three, three and one sequence.
    const memory = { tokensAtOnce: 3 * SEQUENCE };
    const held = await bench(t, { kernels, memory });
    await collect(held.run());
    const written = await bench(t, { kernels, memory: { ...memory, groupBytes: 0 } });
    await collect(written.run());
    assert.deepEqual(await filesOf(written.folder), await filesOf(held.folder));
  });

  for (const mixesProducts of [true, false])
    test(`${kernels}: what down reads, kept or computed again, is the same (R4: ${mixesProducts})`, async (t) => {
      const tokensAtOnce = 3 * SEQUENCE;
      const files = async (parts: number) => {
        const { checkpoint } = await bench(t, { kernels });
        const productBytes = parts * tokensAtOnce * checkpoint.config.intermediateSize * 4;
        const setting = { kernels, mixesProducts, memory: { tokensAtOnce, productBytes } };
        const { run, folder, cache } = await bench(t, setting);
        const ends = endsOf(cache);
        await collect(run());
        // Nothing reads what the last layer gives, so only the first has an end.
        assert.deepEqual(
          ends,
          Array.from({ length: 4 }, (_, part) => part < parts),
          `${parts} parts`,
        );
        return filesOf(folder);
      };
      const kept = await files(4);
      for (const parts of [0, 2]) assert.deepEqual(await files(parts), kept, `${parts} of 4 parts kept`);
    });

  const settings: readonly Omit<Setting, 'kernels'>[] = [
    {},
    { weights: { symmetric: false } },
    { weights: { group: 8 } },
    { weights: { group: 8, symmetric: false, bits: 3 } },
    { mixesHeads: true, options: { actOrder: true } },
  ];
  for (const setting of settings)
    test(`${kernels}: errors are those of the written weights on what they read: ${JSON.stringify(setting)}`, async (t) => {
      const memory = { tokensAtOnce: 3 * SEQUENCE };
      const { run, layers, cache, network, blocks } = await bench(t, { kernels, memory, ...setting });
      const events = await collect(run());
      const text = await throughRounded(cache, network, layers, blocks);
      for (const { layer, errors } of events) {
        const { rows, exact, nearest } = text[layer]!;
        for (const error of errors) {
          const linear = error.linear as Linear;
          const matrix = layers.read(layer)[linear];
          const written = preparedTensors('q', matrix, false)['q.prepared']!.data as Float32Array;
          for (const [said, rounded] of [
            [error.error, written],
            [error.nearest, nearest[linear]!],
          ] as const) {
            const { share, bound } = outputError(
              rows[SITE_OF[linear]]!,
              exact[linear]!,
              rounded,
              matrix.columns,
            );
            assert.ok(bound < 0.1 * share, `${linear}: the bound says something, ${bound} of ${share}`);
            assert.ok(Math.abs(said - share) <= bound, `layer ${layer}, ${linear}: ${said}, not ${share}`);
          }
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
  await assert.rejects(collect(events), Cancelled);
  assert.deepEqual(await readdir(folder), ['layer-0000.safetensors']);
});

for (const kernels of KERNELS) {
  test(`a weight that is NaN ends the rounding, not in a code (${kernels})`, async (t) => {
    const model = await mkdtemp(join(tmpdir(), 'rounding-nan-'));
    t.after(() => rm(model, { recursive: true }));
    await cp(GOLDEN, model, { recursive: true });
    const { path, byteOffset } = (await openCheckpoint(model)).layer(0).up;
    const file = await open(path, 'r+');
    await file.write(Buffer.from(Float32Array.of(Number.NaN).buffer), 0, 4, byteOffset);
    await file.close();
    const { run } = await bench(t, { kernels, model });
    await rejectsWith(() => collect(run()), 'rounding/not-finite', /weights of up in layer 0/);
  });
}
