/**
 * Measures products with weights of 4 bits in this process, on so many threads: ours, ONNX Runtime's MatMulNBits and its
 * float32 MatMul in turn, round after round. Prints JSON.
 */
import { randomFillSync } from 'node:crypto';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { ReadBandwidth } from '../../src/engine/runtime/read-bandwidth.ts';
import type { Runtime, Session } from '../../src/engine/runtime/types.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { median, openAddon, type Result, type Row } from '../probe.ts';
import { type Products, productsModel, type Weight } from './model.ts';

export interface Argument {
  readonly threads: number;
  readonly tokens: number;
  readonly columns: number;
  readonly rows: number;
  /** Distinct weights of 4 bits, and of float32. */
  readonly weights: number;
  readonly wide: number;
  readonly rounds: number;
}

const argument = JSON.parse(process.argv[2]!) as Argument;
const { tokens, columns, rows, rounds } = argument;
const { addon, isa } = openAddon();

const randomBytes = (count: number): Uint8Array<ArrayBuffer> => randomFillSync(new Uint8Array(count));
/** Numbers from −1 to 1 that repeat after 64 KB. */
const noise = (count: number): Float32Array => {
  const some = Float32Array.from(new Int16Array(randomBytes(2 ** 15).buffer), (value) => value / 2 ** 15);
  return Float32Array.from({ length: count }, (_, i) => some[i % some.length]!);
};

/** Codes −8 … 7 with a scale per row and group, packed by our operator for rows with a scale per span. */
function packed(group: number, span: number): Weight[] {
  const [groups, spans, panels] = [columns / group, columns / span, Math.ceil(rows / 16)];
  const codes = new Int8Array(randomBytes(rows * columns).buffer).map((byte) => byte >> 4);
  const scales = noise(rows * groups).map((value) => 0.01 + Math.abs(value) / 100);
  const bytes = { data: new Int8Array((panels * 16 * columns) / 2), dims: [panels, columns / 8, 64] };
  const lines = spans + groups;
  const grid = { data: new Float32Array(panels * lines * 16), dims: [panels, lines, 16] };
  const inputs = [
    { data: codes, dims: [rows, columns] },
    { data: scales, dims: [rows, groups] },
  ];
  addon.runOperator('PackInt4', isa, { spans }, inputs, [bytes.data, grid.data], argument.threads, 1);
  return [bytes, grid];
}

/** The same for MatMulNBits: two codes a byte, the zero point 8 by default. */
function blocks(block: number): Weight[] {
  const count = columns / block;
  const codes = randomBytes((rows * columns) / 2);
  const scales = noise(rows * count).map((value) => 0.01 + Math.abs(value) / 100);
  return [
    { data: codes, dims: [rows, count, block / 2] },
    { data: scales, dims: [rows * count] },
  ];
}

const shapes = { x: [tokens, columns], y: [tokens, rows] };
const times = (count: number, make: () => Weight[]) => Array.from({ length: count }, make);

/** @param group of the weight, @param span of the rows; 0 for all columns. */
function ours(group: number, bitsOfX: number, span = 0): Products {
  const weights = times(argument.weights, () => packed(group || columns, span || columns));
  const ranges = { include_zero: span === 0 ? 1 : 0, activation_group: span };
  const quantizer = { bits: bitsOfX, symmetric: 0, clip_ratio: { float: 1 }, ...ranges };
  return {
    op: 'Int4MatMul',
    domain: 'spinquant',
    attributes: { ...quantizer, rows, group },
    ...shapes,
    weights,
  };
}

function theirs(block: number): Products {
  const weights = times(argument.weights, () => blocks(block));
  const attributes = { K: columns, N: rows, bits: 4, block_size: block, accuracy_level: 4 };
  return { op: 'MatMulNBits', domain: 'com.microsoft', attributes, ...shapes, weights };
}

function wide(): Products {
  const weights = times(argument.wide, () => [{ data: noise(rows * columns), dims: [columns, rows] }]);
  return { op: 'MatMul', domain: '', attributes: {}, ...shapes, weights };
}

const CONTENDERS: Readonly<Record<string, () => Products>> = {
  'float32 MatMul': wide,
  'MatMulNBits 32': () => theirs(32),
  'MatMulNBits 128': () => theirs(128),
  'Int4MatMul W4A8 per row': () => ours(0, 8),
  'Int4MatMul W4A8 groups of 128': () => ours(128, 8),
  'Int4MatMul W4A8 groups of 32': () => ours(32, 8),
  'Int4MatMul W4A4 per row': () => ours(0, 4),
  'Int4MatMul W4A4, spans of 128': () => ours(0, 4, 128),
  'Int4MatMul W4A4, spans of 64': () => ours(0, 4, 64),
  'Int4MatMul W4A4, spans of 32': () => ours(0, 4, 32),
  'Int4MatMul W4A4, groups of 128': () => ours(128, 4),
  'Int4MatMul W4A4, groups and spans of 64': () => ours(64, 4, 64),
};

export interface ProcessorRow extends Row {
  /** Processor time of a call on all threads, the least of all: other programs lengthen it less than the clock's. */
  readonly processorMilliseconds: number;
  /** Bytes per second of a call, by what a loop read in the same round: the median of all rounds. */
  readonly ofBandwidth: number;
}

export interface Measured extends Omit<Result, 'rows'> {
  readonly rows: readonly ProcessorRow[];
  /** Operations per second of a core's products of bytes, the most of all rounds; 0 where that is not known. */
  readonly peak: number;
}

interface Contender {
  readonly name: string;
  readonly session: Session;
  readonly outputs: Record<string, HostTensor>;
  readonly products: number;
  readonly bytes: number;
  readonly seconds: number[];
  readonly processorSeconds: number[];
}

async function open(runtime: Runtime, name: string): Promise<Contender> {
  const products = CONTENDERS[name]!();
  const outputs = { y: float32(shapes.y, new Float32Array(tokens * rows)) };
  const specs = { y: { dtype: 'float32', dims: shapes.y } } as const;
  const session = await runtime.createSession(productsModel(products), specs, { spins: tokens === 1 });
  const bytes = products.weights[0]!.reduce((sum, { data }) => sum + data.byteLength, 0);
  const own = { products: products.weights.length, bytes };
  return { name, session, outputs, ...own, seconds: [], processorSeconds: [] };
}

/** Runs all products once. @param counts false for the first round, which fills caches of the system and of ONNX Runtime. */
async function call(contender: Contender, x: HostTensor, counts: boolean): Promise<void> {
  const { session, outputs, products, seconds, processorSeconds } = contender;
  const before = process.cpuUsage();
  const start = performance.now();
  await session.run({ x }, outputs);
  const elapsed = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  if (!counts) return;
  seconds.push(elapsed / 1000 / products);
  processorSeconds.push((user + system) / 1e6 / products);
}

async function main(): Promise<Measured> {
  const runtime = await createRuntime({ kernels: 'native', threads: argument.threads });
  const contenders: Contender[] = [];
  for (const name of Object.keys(CONTENDERS)) contenders.push(await open(runtime, name));
  const x = float32(shapes.x, noise(tokens * columns));
  const bandwidth = new ReadBandwidth(argument.threads);
  const reads: number[] = [];
  let peak = 0;
  for (let round = 0; round <= rounds; round++) {
    const read = bandwidth.measure()!;
    if (round > 0) reads.push(read);
    peak = Math.max(peak, addon.bytePeak(isa));
    for (const contender of contenders) await call(contender, x, round > 0);
  }
  const found = contenders.map(({ name, bytes, seconds, processorSeconds }) => ({
    name,
    bytes,
    milliseconds: Math.min(...seconds) * 1000,
    median: median(seconds) * 1000,
    processorMilliseconds: Math.min(...processorSeconds) * 1000,
    // The memory of a rented machine is not the same from one second to the next.
    ofBandwidth: median(reads.map((read, i) => bytes / seconds[i]! / read)),
  }));
  for (const { session } of contenders) session.release();
  runtime.close();
  const clock = addon.clockRate();
  return { instructionSet: isa, readBandwidth: bandwidth.most!, clock, peak, rows: found };
}

console.log(JSON.stringify(await main()));
