import { UserError } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { encodeProto } from '../graph/model-proto.ts';
import { Rng } from '../rotation/random.ts';
import { DEVICE_WORDS } from '../runtime/device.ts';
import { ModelSession } from '../runtime/model-session.ts';
import type { DeviceKind } from '../runtime/types.ts';

/**
 * From so many tokens of a call on, WebGPU has another kernel for attention. In ONNX Runtime 1.30 it computes eight keys
 * or sixteen in a step and goes on by the lanes that the device runs together: where these are four, as in SwiftShader, it
 * counts most keys twice.
 */
const LONG = 32;

/** Tokens of a trial: of each kernel, with a step that is not whole. */
const TRIALS = { long: LONG + 11, short: LONG - 13 } as const;

/**
 * Outputs are means of values up to 1. In float32, sums of some hundred terms of that size are off by less than 10⁻⁴; a key
 * too many moves them by about 1/√keys, a tenth.
 */
const TOLERANCE = 1e-3;

const HEADS = 2;

/** A device stays as it is: each is tried once. */
const known = new Map<string, Promise<number>>();

/**
 * Tries attention on a device against the processor.
 * @returns tokens that a call may have at most.
 * @throws UserError `device/wrong` where no kernel is right.
 */
export function longestCall(device: DeviceKind, headDim: number, threads: number): Promise<number> {
  if (device === 'cpu') return Promise.resolve(Number.POSITIVE_INFINITY);
  const key = `${device} ${headDim}`;
  const found = known.get(key) ?? tried(device, headDim, threads);
  known.set(key, found);
  found.catch(() => known.delete(key));
  return found;
}

async function tried(device: DeviceKind, headDim: number, threads: number): Promise<number> {
  const model = attentionModel(headDim);
  const there = await ModelSession.open(model, { device, threads, kept: [] });
  const here = await ModelSession.open(model, { device: 'cpu', threads, kept: [] });
  const isRight = async (tokens: number): Promise<boolean> => {
    const inputs = trial(tokens, headDim);
    const [found, wanted] = [(await there.run(inputs)).computed.y!, (await here.run(inputs)).computed.y!];
    return wanted.every((value, i) => Math.abs(value - found[i]!) < TOLERANCE);
  };
  try {
    if (await isRight(TRIALS.long)) return Number.POSITIVE_INFINITY;
    if (await isRight(TRIALS.short)) return LONG - 1;
  } finally {
    await there.release();
    await here.release();
  }
  throw new UserError(
    'device/wrong',
    `Attention of ONNX Runtime on ${DEVICE_WORDS[device]} differs from that of the processor: its results would be wrong.`,
    'Update the driver of the GPU, or compute on the processor (--device cpu).',
  );
}

/** Attention alone, of two heads of queries on one of keys. */
function attentionModel(headDim: number): Uint8Array {
  const input = (name: string, ...dims: (number | string)[]) => ({ name, dtype: 'float32' as const, dims });
  const cached = (name: string) => input(name, 1, 1, `${name}_tokens`, headDim);
  const inputs = [
    input('q', 1, 'tokens', HEADS * headDim),
    input('k', 1, 'tokens', headDim),
    input('v', 1, 'tokens', headDim),
    cached('past_k'),
    cached('past_v'),
    { name: 'last', dtype: 'int32' as const, dims: [1] },
    { name: 'total', dtype: 'int32' as const, dims: [] },
  ];
  return encodeProto({
    irVersion: 9,
    opsets: { '': 18, 'com.microsoft': 1 },
    nodes: [
      {
        op: 'GroupQueryAttention',
        domain: 'com.microsoft',
        inputs: inputs.map(({ name }) => name),
        outputs: ['y', 'present_k', 'present_v'],
        attributes: { num_heads: HEADS, kv_num_heads: 1, do_rotary: 0 },
      },
    ],
    initializers: [],
    inputs,
    outputs: [input('y', 1, 'tokens', HEADS * headDim), cached('present_k'), cached('present_v')],
  });
}

function trial(tokens: number, headDim: number): Record<string, HostTensor> {
  const rng = new Rng(tokens);
  const numbers = (name: string, width: number): HostTensor => {
    const draws = rng.split(name);
    const values = Float32Array.from({ length: tokens * width }, () => 2 * draws.uniform() - 1);
    return float32([1, tokens, width], values);
  };
  const nothing = float32([1, 1, 0, headDim], new Float32Array());
  return {
    q: numbers('q', HEADS * headDim),
    k: numbers('k', headDim),
    v: numbers('v', headDim),
    past_k: nothing,
    past_v: nothing,
    last: whole([1], tokens - 1),
    total: whole([], tokens),
  };
}

const whole = (dims: readonly number[], number: number): HostTensor => ({
  kind: 'host',
  dtype: 'int32',
  dims,
  data: Int32Array.of(number),
});
