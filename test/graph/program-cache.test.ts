/** Equal specs share one compiled program; any other field makes another one. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Graph, type OpDefinition } from '../../src/engine/graph/graph.ts';
import { add } from '../../src/engine/graph/ops/elementwise.ts';
import type { Reals } from '../../src/engine/graph/program.ts';
import { ProgramCache, type ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { BACKWARD, FORWARD, type LayerSpec } from '../../src/engine/network/layer-programs.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { layerTypes, TINY_CONFIG, tinyQuantizers, tinyShape } from '../helpers/tiny-network.ts';

async function openCache(t: TestContext): Promise<ProgramCache> {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  t.after(async () => {
    await cache.release();
    runtime.close();
  });
  return cache;
}

/** Programs of x + addend that note the specs they are built for. */
function addition<Spec>(name: string, addend: (spec: Spec) => number) {
  const built: Spec[] = [];
  const kind: ProgramKind<Spec, { y: Reals }> = {
    name,
    build(spec) {
      built.push(spec);
      const graph = new Graph();
      return { graph, outputs: { y: add(graph.input('x', [1]), graph.scalar(addend(spec))) } };
    },
  };
  return { kind, built };
}

const X = { x: float32([1], Float32Array.of(40)) };

/** Everything that decides a layer's programs, every field with a value. */
function layerSpec(): LayerSpec {
  const shape = tinyShape(tinyQuantizers(TINY_CONFIG, 4, true));
  const transform = planHadamard(12);
  assert.ok(transform.matrix !== null, 'numbers of a matrix are part of a spec');
  return {
    shape: {
      ...shape,
      window: 3,
      maps: {
        ...shape.maps,
        'attention-norm': { kind: 'diagonal' },
        'up-down': { kind: 'hadamard', transform },
      },
      weightForm: 'numbers',
      activationCodes: false,
      precision: 'float32',
    },
    types: layerTypes(TINY_CONFIG),
    mode: 'merged',
    level: 'nothing',
  };
}

type Path = readonly (string | number)[];

/** Paths of all plain values in data, those of arrays of numbers included. */
function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

/** A copy with another value at one place. */
function changedAt(value: unknown, [key, ...rest]: Path): unknown {
  if (key === undefined) return another(value);
  if (ArrayBuffer.isView(value)) {
    const copy = (value as Int8Array).slice();
    copy[Number(key)] = copy[Number(key)]! + 1;
    return copy;
  }
  if (Array.isArray(value))
    return value.map((inner, index) => (index === Number(key) ? changedAt(inner, rest) : inner));
  const record = value as Readonly<Record<string, unknown>>;
  return { ...record, [key]: changedAt(record[key], rest) };
}

function another(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  return value === null ? 1 : `${value}x`;
}

test('equal specs share a program, also while it is compiled', async (t) => {
  const cache = await openCache(t);
  const { kind, built } = addition('addition', ({ by }: { readonly by: number }) => by);
  const [one, same, other] = await Promise.all([
    cache.get(kind, { by: 1 }),
    cache.get(kind, { by: 1 }),
    cache.get(kind, { by: 2 }),
  ]);
  assert.equal(one, same);
  assert.equal(one, await cache.get(kind, { by: 1 }));
  assert.deepEqual(built, [{ by: 1 }, { by: 2 }]);
  assert.equal((await one.run(X)).y.data[0], 41);
  assert.equal((await other.run(X)).y.data[0], 42);
});

test('kinds with equal specs do not share', async (t) => {
  const cache = await openCache(t);
  const spec = { by: 1 };
  const plus = addition('plus', ({ by }: typeof spec) => by);
  const minus = addition('minus', ({ by }: typeof spec) => -by);
  const [up, down] = [await cache.get(plus.kind, spec), await cache.get(minus.kind, spec)];
  assert.equal((await up.run(X)).y.data[0], 41);
  assert.equal((await down.run(X)).y.data[0], 39);
});

test('any other field of the spec of a layer makes another program', async (t) => {
  const cache = await openCache(t);
  const { kind, built } = addition('layer', (_: LayerSpec) => 1);
  const program = await cache.get(kind, layerSpec());
  assert.equal(await cache.get(kind, layerSpec()), program, 'built of equal parts');
  const places = leaves(layerSpec());
  assert.ok(places.length > 200, `${places.length} places`);
  const found = new Set([program]);
  for (const place of places) found.add(await cache.get(kind, changedAt(layerSpec(), place) as LayerSpec));
  assert.equal(found.size, places.length + 1);
  assert.equal(built.length, places.length + 1);
});

test('layers of one shape share their programs, and passes have their own', async (t) => {
  const cache = await openCache(t);
  const { shape, ...spec } = layerSpec();
  const real = { ...spec, shape: { ...shape, window: null } };
  const forward = await cache.get(FORWARD, real);
  assert.equal(await cache.get(FORWARD, { ...real, shape: { ...real.shape } }), forward);
  assert.notEqual(await cache.get(FORWARD, { ...real, level: 'all' }), forward);
  const backward = await cache.get(BACKWARD, real);
  assert.ok(forward.outputs.includes('y') && !backward.outputs.includes('y'));
  assert.ok(backward.inputs.includes('dy'));
});

test('a released cache compiles again', async (t) => {
  const cache = await openCache(t);
  const { kind, built } = addition('again', ({ by }: { readonly by: number }) => by);
  const before = await cache.get(kind, { by: 1 });
  await cache.release();
  assert.notEqual(await cache.get(kind, { by: 1 }), before);
  assert.equal(built.length, 2);
});

test('what cannot be built fails for everyone who asks, and a release goes on', async (t) => {
  const cache = await openCache(t);
  const kind: ProgramKind<null, { y: Reals }> = {
    name: 'broken',
    build() {
      const graph = new Graph();
      const x = graph.input('x', [1], 'int64');
      return { graph, outputs: { y: graph.apply(BROKEN, [x])[0]! } };
    },
  };
  for (let i = 0; i < 2; i++) await assert.rejects(cache.get(kind, null));
  await cache.release();
});

/** An operator that no runtime has. */
const BROKEN: OpDefinition = {
  name: 'OfNobody',
  domain: '',
  infer: () => [{ dtype: 'float32', dims: [1] }],
};
