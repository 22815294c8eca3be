/**
 * Thousands of calls at the edges, each made twice: once in memory of exactly its size, once amid other memory, with
 * other threads. Both must give the same bits or the same refusal, write every output and nothing else. Under
 * `npm run test:native:asan` any access outside of a tensor ends the process too.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { allocate } from '../../src/protocol/tensor.ts';
import { Draw } from './odd-draw.ts';
import { DRAWN, drawOperation } from './odd-operations.ts';
import { addon, nativeOperators, notBuilt, type Operation } from './support.ts';

const CALLS = Number(process.env.SPINQUANT_ODD_CALLS ?? 1000);
const SEED = Number(process.env.SPINQUANT_ODD_SEED ?? 1);

type Data = ProbeTensor['data'];

/** A copy of an array amid other memory, so many elements from its start. */
interface Placed<T extends Data> {
  readonly whole: Uint8Array;
  readonly part: T;
}

const bytesOf = (data: Data): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Puts the bytes of an array behind `before` elements; all around is `filling`. */
function place<T extends Data>(data: T, before: number, after: number, filling: number): Placed<T> {
  const size = data.BYTES_PER_ELEMENT;
  const whole = new Uint8Array((before + data.length + after) * size).fill(filling);
  whole.set(bytesOf(data), before * size);
  const make = data.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => T;
  return { whole, part: new make(whole.buffer, before * size, data.length) };
}

interface Placement {
  /** Elements before and after each tensor. */
  readonly around: () => number;
  /** Outputs and what lies around tensors start as this byte. */
  readonly filling: number;
  readonly threads: number;
}

interface Outcome {
  readonly refusal: string | null;
  readonly outputs: Uint8Array[];
}

/** Makes the call and fails where it wrote anything but its outputs. */
function make(
  operation: Operation,
  instructionSet: string,
  { around, filling, threads }: Placement,
): Outcome {
  const type = nativeOperators().find(({ name }) => name === operation.name)!;
  const inputs = operation.inputs.map((input) => input && place(input.data, around(), around(), filling));
  const outputs = operation.outputs.map((count, i) => {
    const data = allocate(type.outputs[i]!.type, count) as Exclude<ProbeTensor['data'], BigInt64Array>;
    bytesOf(data).fill(filling);
    return place(data, around(), around(), filling);
  });
  const before = [...inputs, ...outputs].map((placed) => placed?.whole.slice());
  const tensors = operation.inputs.map((input, i) => input && { dims: input.dims, data: inputs[i]!.part });
  let refusal: string | null = null;
  try {
    addon!.runOperator(
      operation.name,
      instructionSet,
      operation.attributes,
      tensors,
      outputs.map(({ part }) => part),
      threads,
      1,
    );
  } catch (error) {
    refusal = (error as Error).message;
  }
  const results = outputs.map(({ part }) => bytesOf(part).slice());
  // What may be written becomes what it was; all else must be that already.
  if (refusal === null) for (const { part } of outputs) bytesOf(part).fill(filling);
  [...inputs, ...outputs].forEach((placed, i) => {
    if (placed)
      assert.ok(
        Buffer.from(placed.whole).equals(before[i]!),
        `tensor ${i} was written outside of its outputs`,
      );
  });
  return { refusal, outputs: results };
}

const describe = ({ name, attributes, inputs }: Operation): string =>
  `${name} ${JSON.stringify(attributes)} of ${inputs.map((input) => (input ? `[${input.dims}]` : 'nothing')).join(', ')}`;

test('calls are drawn of every operator', { skip: notBuilt }, () => {
  assert.deepEqual(
    [...DRAWN].sort(),
    nativeOperators()
      .map(({ name }) => name)
      .sort(),
  );
});

test(`${CALLS} odd calls give a result or a refusal, wherever they lie in memory`, { skip: notBuilt }, () => {
  const draw = new Draw(SEED);
  // Drawn apart: processors have different ones, and the calls are the same on all.
  const drawSet = new Draw(SEED + 1);
  const sets = ['reference', ...addon!.instructionSets()];
  const results = new Map(DRAWN.map((name) => [name, 0]));
  for (let call = 0; call < CALLS; call++) {
    const operation = drawOperation(draw, DRAWN[call % DRAWN.length]!);
    const instructionSet = drawSet.one(sets);
    const exact = make(operation, instructionSet, { around: () => 0, filling: 0x11, threads: 1 });
    const threads = 1 + draw.below(3);
    const amid = make(operation, instructionSet, { around: () => draw.below(17), filling: 0xee, threads });
    const what = `call ${call}: ${describe(operation)} by ${instructionSet}`;
    assert.equal(amid.refusal, exact.refusal, what);
    if (exact.refusal !== null) continue;
    results.set(operation.name, results.get(operation.name)! + 1);
    exact.outputs.forEach((output, i) => {
      assert.ok(
        Buffer.from(output).equals(amid.outputs[i]!),
        `${what}: output ${i} differs, or was not written`,
      );
    });
  }
  // A drawing that is refused every time would test nothing.
  const never = [...results].filter(([, count]) => count < CALLS / DRAWN.length / 10).map(([name]) => name);
  assert.deepEqual(never, [], 'operators whose calls are nearly all refused');
});
