/**
 * This benchmark reads the keys and values of a cache for one token: attention of a layer at the shapes of Llama-3.2-1B
 * and SmolLM2-135M, 128 and 8192 tokens deep, over codes of 4 and 8 bits, halves and float32 numbers; and a token of the
 * whole SmolLM2-135M with random weights at both depths. It compares bytes with the measured read bandwidth and depths
 * with one another, as ratios within one run. It writes bench/results/kv.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { runScript } from '../child.ts';
import type { Result } from '../probe.ts';
import type { Argument as DecodeArgument, Row as DecodeRow } from './decode.ts';
import type { Argument } from './measure.ts';

const SHAPES = {
  'Llama-3.2-1B': { heads: 32, kvHeads: 8, headDim: 64 },
  'SmolLM2-135M': { heads: 9, kvHeads: 3, headDim: 64 },
} as const;
/** At 8192 tokens the caches of 4 bits alone are more than a third-level cache of 32 MB. */
const DEPTHS = [
  { depth: 128, caches: 2, rounds: 300 },
  { depth: 8192, caches: 10, rounds: 12 },
] as const;

async function measure(threads: number, name: keyof typeof SHAPES, deep: (typeof DEPTHS)[number]) {
  const load = os.loadavg()[0]!;
  const argument: Argument = { threads, ...SHAPES[name], ...deep };
  const result = await runScript<Result>(join(import.meta.dirname, 'measure.ts'), argument);
  const { heads, headDim } = SHAPES[name];
  const numbers = result.rows.find((row) => row.name === 'float32')!;
  const rows = result.rows.map((row) => ({
    ...row,
    gigabytesPerSecond: row.bytes / row.milliseconds / 1e6,
    ofBandwidth: (row.bytes / row.milliseconds) * (1000 / result.readBandwidth),
    // Each channel of a key and of a value is multiplied once for each query head.
    gigaOperations: (4 * heads * headDim * deep.depth) / row.milliseconds / 1e6,
    againstFloat32: numbers.milliseconds / row.milliseconds,
  }));
  console.log(`\n${name}, ${deep.depth} tokens, ${threads} threads, load ${load.toFixed(1)}`);
  console.log(
    `read bandwidth ${(result.readBandwidth / 1e9).toFixed(1)} GB/s, clock ${(result.clock / 1e9).toFixed(2)} GHz`,
  );
  for (const row of rows)
    console.log(
      `${row.name.padEnd(10)} ${row.milliseconds.toFixed(4).padStart(9)} ms (median ${row.median.toFixed(4)}) ${(row.bytes / 1e6).toFixed(2).padStart(7)} MB ${row.gigabytesPerSecond.toFixed(1).padStart(6)} GB/s ${(100 * row.ofBandwidth).toFixed(0).padStart(4)} % ${row.gigaOperations.toFixed(0).padStart(5)} Gflop/s ×${row.againstFloat32.toFixed(2)} of float32`,
    );
  const { instructionSet, readBandwidth, clock } = result;
  return { name, threads, ...deep, load, instructionSet, readBandwidth, clock, rows };
}

async function decode(threads: number) {
  const load = os.loadavg()[0]!;
  const argument: DecodeArgument = { threads, depths: [128, 8192], rounds: 12 };
  const rows = await runScript<DecodeRow[]>(join(import.meta.dirname, 'decode.ts'), argument);
  console.log(`\nSmolLM2-135M, a token, ${threads} threads, load ${load.toFixed(1)}`);
  const table = rows.map((row) => {
    const shallow = rows.find(({ bits, depth }) => bits === row.bits && depth === 128)!;
    return { ...row, ofDepth128: shallow.milliseconds / row.milliseconds };
  });
  for (const { bits, depth, milliseconds, median, processor, cacheBytes, ofDepth128 } of table)
    console.log(
      `${String(bits).padStart(2)} bits, depth ${String(depth).padStart(4)}: ${milliseconds.toFixed(1)} ms (median ${median.toFixed(1)}, of the processor ${processor.toFixed(1)}), cache ${(cacheBytes / 1e6).toFixed(1)} MB, ${(100 * ofDepth128).toFixed(0)} % of the speed at 128`,
    );
  return { threads, load, rows: table };
}

const [attention, tokens] = [[] as unknown[], [] as unknown[]];
for (const threads of [1, 2])
  for (const name of Object.keys(SHAPES) as (keyof typeof SHAPES)[])
    for (const deep of DEPTHS) attention.push(await measure(threads, name, deep));
for (const threads of [1, 2]) tokens.push(await decode(threads));
const folder = join(import.meta.dirname, '..', 'results');
mkdirSync(folder, { recursive: true });
const processor = os.cpus()[0]?.model;
writeFileSync(join(folder, 'kv.json'), `${JSON.stringify({ processor, attention, tokens }, null, 1)}\n`);
