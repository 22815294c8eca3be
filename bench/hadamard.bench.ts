/**
 * This benchmark compares Hadamard in place with memcpy of the same bytes on as many threads, as ratios within one run.
 *
 * The floor is arithmetic. A core of the target kind starts two vector additions or shuffles per cycle. With L lanes,
 * a vector of a transform of size n takes log2 n additions, log2 L shuffles and half an operation for the scale. For
 * n = 8192 these are 8.75 cycles per 64 bytes, where memcpy in the second-level cache takes about 5. An order K·2^m has
 * K/4 more additions, from memory. The four Russians' method takes 16 signed sums per four rows: 12 additions, 8
 * negations and 16 stores, one store per cycle. So below a few hundred KB the floor is above 1.3 for n > 64, and far above 2 for
 * K > 20. From the third-level cache on, memory is the limit. In place, it is read and written once, where memcpy also
 * reads its target.
 *
 * Usage: node --import tsx bench/hadamard.bench.ts [instruction set]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Addon, loadAddon } from '../src/engine/runtime/addon.ts';
import { median } from './probe.ts';

interface Transform {
  readonly label: string;
  readonly block: number;
  readonly order: number;
  /** The target ratio to memcpy. */
  readonly target: number;
}

interface Row extends Transform {
  readonly kilobytes: number;
  readonly threads: number;
  readonly copyMicroseconds: number;
  readonly hadamardMicroseconds: number;
  readonly ratio: number;
  /** The time of the arithmetic alone / memcpy time. */
  readonly floorRatio: number;
  readonly gigabytesPerSecond: number;
}

const KB = 1024;
const sizes = [64 * KB, 256 * KB, 1024 * KB, 4096 * KB, 16384 * KB, 65536 * KB];
const transforms: Transform[] = [
  ...[16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768].map((block) => {
    return { label: `${block}`, block, order: 1, target: 1.3 };
  }),
  ...[
    [12, 128],
    [36, 16],
    [12, 64],
    [28, 128],
    [76, 64],
    [148, 128],
    [172, 64],
  ].map(([order, rest]) => {
    return { label: `${order}·${rest}`, block: order! * rest!, order: order!, target: 2 };
  }),
];

/** ONNX Runtime aligns its tensors to 64 bytes; JavaScript does not. */
function alignedArray(addon: Addon, count: number): Float32Array {
  const memory = new Float32Array(count + 16);
  const skip = ((64 - addon.misalignment(memory)) % 64) / 4;
  return memory.subarray(skip, skip + count);
}

/** Returns the cycles per vector for additions, shuffles and stores at two, two and one per cycle. */
function floorCycles({ block, order }: Transform, lanes: number): number {
  const sylvester = Math.log2(block / order) + Math.min(Math.log2(lanes), Math.log2(block / order));
  if (order === 1) return (sylvester + 0.5) / 2;
  const tableStores = 16 / 4;
  return sylvester / 2 + tableStores + order / 4 / 2;
}

const lanesOf: Readonly<Record<string, number>> = { portable: 4, avx2: 8, avx512: 16 };

/** Measures medians of alternating rounds, so that a change of clock or load affects both. */
function measure(addon: Addon, isa: string, transform: Transform, bytes: number, threads: number): Row {
  const { block, order } = transform;
  const blocks = Math.max(1, Math.round(bytes / 4 / block));
  const count = blocks * block;
  const x = alignedArray(addon, count).fill(1);
  const copy = alignedArray(addon, count).fill(0);
  const m = Float32Array.from({ length: order * order }, (_, i) => ((i * 2654435761) & 65536 ? 1 : -1));
  const inputs = [{ data: x, dims: [blocks, block] }, order > 1 ? { data: m, dims: [order, order] } : null];
  // M is not a Hadamard matrix here, but its norm is at most its order: values stay finite and do not vanish quickly.
  const attributes = { block, order, scale: 1 / Math.sqrt(block) };
  const rounds = 5;
  const repeats = Math.max(3, Math.min(200, Math.round(16e6 / bytes)));
  const copies: number[] = [];
  const runs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    copies.push(...addon.copyTimes(x, copy, threads, repeats).slice(1));
    for (let i = 0; i < count; i++) x[i] = ((i * 40503) & 1023) / 1024 - 0.5;
    runs.push(...addon.runOperator('Hadamard', isa, attributes, inputs, [x], threads, repeats).slice(1));
  }
  const [copyTime, time] = [median(copies), median(runs)];
  const lanes = lanesOf[isa] ?? 4;
  const floorTime = ((count / lanes) * floorCycles(transform, lanes)) / addon.clockRate() / threads;
  return {
    ...transform,
    kilobytes: Math.round((count * 4) / KB),
    threads,
    copyMicroseconds: copyTime * 1e6,
    hadamardMicroseconds: time * 1e6,
    ratio: time / copyTime,
    floorRatio: floorTime / copyTime,
    gigabytesPerSecond: (count * 4) / time / 1e9,
  };
}

function main(): void {
  const addon = loadAddon();
  if (addon === undefined) {
    console.log('The native operators are not built: nothing to measure.');
    return;
  }
  const isa = process.argv[2] ?? addon.instructionSets().at(-1)!;
  const rows: Row[] = [];
  for (const threads of [1, 2].filter((n) => n <= os.availableParallelism())) {
    console.log(`\n${isa}, ${threads} thread(s): time / memcpy time (of which arithmetic at least)`);
    console.log(['block'.padEnd(9), ...sizes.map((bytes) => `${bytes / KB} KB`.padStart(15))].join(''));
    for (const transform of transforms) {
      const line = sizes.map((bytes) => measure(addon, isa, transform, bytes, threads));
      rows.push(...line);
      const cells = line.map((row) => `${row.ratio.toFixed(2)} (${row.floorRatio.toFixed(2)})`.padStart(15));
      console.log([transform.label.padEnd(9), ...cells].join(''));
    }
  }
  const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'results');
  mkdirSync(folder, { recursive: true });
  const report = { instructionSet: isa, processor: os.cpus()[0]?.model, node: process.version, rows };
  writeFileSync(path.join(folder, 'hadamard.json'), `${JSON.stringify(report, null, 1)}\n`);
}

main();
