/**
 * This benchmark multiplies by weights of 4 bits, at the shape of a down projection's transpose [8192, 2048]: one token
 * (decoding) with more distinct weights than a cache holds, and 512 tokens (prefill). It compares Int4MatMul with
 * MatMulNBits and float32 MatMul, and one token with the measured read bandwidth, as ratios within one run. It writes
 * bench/results/int4.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { runScript } from '../child.ts';
import type { Argument, Measured, ProcessorRow } from './measure.ts';

const [COLUMNS, ROWS] = [2048, 8192];
/** A call reads 200 MB: what it takes to begin one, 0.2 ms, is then a few percent. */
const decode = { tokens: 1, weights: 24, wide: 3, rounds: 30 };
const prefill = { tokens: 512, weights: 1, wide: 1, rounds: 8 };

const measureFile = join(import.meta.dirname, 'measure.ts');

async function measure(threads: number, what: typeof decode) {
  const load = os.loadavg()[0]!;
  const argument: Argument = { threads, columns: COLUMNS, rows: ROWS, ...what };
  const result = await runScript<Measured>(measureFile, argument);
  const operations = 2 * what.tokens * COLUMNS * ROWS;
  const rate = ({ milliseconds }: ProcessorRow) => operations / milliseconds / 1e6;
  const peak = (result.peak * threads) / 1e9;
  const named = (name: string) => result.rows.find((row) => row.name === name)!.milliseconds;
  const rows = result.rows.map((row) => ({
    ...row,
    gigabytesPerSecond: row.bytes / row.milliseconds / 1e6,
    gigaOperations: rate(row),
    ofPeak: peak > 0 ? rate(row) / peak : null,
    ofPeakByProcessorTime: peak > 0 ? operations / (row.processorMilliseconds / 1000) / result.peak : null,
    againstBlocks128: named('MatMulNBits 128') / row.milliseconds,
  }));
  console.log(`\n${what.tokens} tokens, ${threads} threads, load ${load.toFixed(1)}`);
  console.log(
    `read bandwidth ${(result.readBandwidth / 1e9).toFixed(1)} GB/s, peak ${peak.toFixed(0)} Gop/s`,
  );
  for (const row of rows)
    console.log(
      `${row.name.padEnd(32)} ${row.milliseconds.toFixed(3).padStart(9)} ms (median ${row.median.toFixed(3)})  ${row.gigabytesPerSecond.toFixed(1).padStart(6)} GB/s ${(100 * row.ofBandwidth).toFixed(0).padStart(4)} %  ${row.gigaOperations.toFixed(0).padStart(5)} Gop/s ${(100 * (row.ofPeak ?? 0)).toFixed(0).padStart(3)} %, ${(100 * (row.ofPeakByProcessorTime ?? 0)).toFixed(0)} % by ${row.processorMilliseconds.toFixed(3)} ms of the processor  ×${row.againstBlocks128.toFixed(2)} of MatMulNBits 128`,
    );
  return {
    ...what,
    threads,
    load,
    instructionSet: result.instructionSet,
    readBandwidth: result.readBandwidth,
    peak,
    rows,
  };
}

const runs = [];
for (const threads of [1, 2]) for (const what of [decode, prefill]) runs.push(await measure(threads, what));
const folder = join(import.meta.dirname, '..', 'results');
mkdirSync(folder, { recursive: true });
const processor = os.cpus()[0]?.model;
writeFileSync(join(folder, 'int4.json'), `${JSON.stringify({ processor, runs }, null, 1)}\n`);
