/**
 * This benchmark runs the layers of a quantized network of SmolLM2-135M's shape as they decode: with its operators in
 * turn and with those that are joined, for one token and for 512; and says which share of a token R3, R4, the quantizers,
 * FlatQuant's maps and groups of channels take. It writes bench/results/layer.json.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { runScript } from '../child.ts';
import type { Argument, Row } from './measure.ts';
import type { Parts, Argument as PartsArgument } from './parts.ts';

const FORMS = [
  { bits: 8, cacheBits: 8 },
  { bits: 4, cacheBits: 4 },
] as const;
const SIZES = [
  { tokens: 1, layers: 30, rounds: 100 },
  { tokens: 512, layers: 3, rounds: 8 },
] as const;
const SHAPE = { hidden: 576, intermediate: 1536, heads: 9, kvHeads: 3, headDim: 64 };

const script = (name: string): string => join(import.meta.dirname, name);

async function measure(argument: Argument) {
  const load = os.loadavg()[0]!;
  const rows = await runScript<Row[]>(script('measure.ts'), argument);
  const { bits, cacheBits, tokens, threads } = argument;
  console.log(`\nA${bits}KV${cacheBits}, ${tokens} tokens, ${threads} threads, load ${load.toFixed(1)}`);
  for (const { name, nodes, milliseconds, median } of rows)
    console.log(
      `${name.padEnd(22)} ${String(nodes).padStart(3)} nodes ${milliseconds.toFixed(4).padStart(9)} ms (median ${median.toFixed(4)}) ×${(rows[0]!.milliseconds / milliseconds).toFixed(2)}`,
    );
  return { ...argument, load, rows };
}

const layers: Awaited<ReturnType<typeof measure>>[] = [];
for (const threads of [1, 2])
  for (const form of FORMS)
    for (const size of SIZES) layers.push(await measure({ threads, ...form, ...size }));

/** What a layer of SpinQuant has of the parts; the others stand beside it. */
const OF_SPINQUANT = ['R3', 'R4', 'quantizers'] as const;

async function shares(form: (typeof FORMS)[number]) {
  const argument: PartsArgument = { ...SHAPE, ...form };
  const parts = await runScript<Parts>(script('parts.ts'), argument);
  const sum = OF_SPINQUANT.reduce((total, name) => total + parts[name], 0);
  const measured = layers.find(
    ({ threads, tokens, bits }) => threads === 1 && tokens === 1 && bits === form.bits,
  )!;
  const layer = 1000 * measured.rows[1]!.milliseconds;
  const share = (taken: number): string => `${((100 * taken) / layer).toFixed(1)} %`;
  const list = Object.entries(parts).map(
    ([name, value]) => `${name} ${value.toFixed(2)} µs, ${share(value)}`,
  );
  console.log(`\nA${form.bits}KV${form.cacheBits}, one token: ${list.join('; ')}`);
  console.log(`${OF_SPINQUANT.join(', ')} together ${sum.toFixed(2)} µs, ${share(sum)} of a layer's call`);
  return { ...form, ...parts, ofLayer: sum / layer };
}

const parts = [];
for (const form of FORMS) parts.push(await shares(form));
const folder = join(import.meta.dirname, '..', 'results');
mkdirSync(folder, { recursive: true });
const processor = os.cpus()[0]?.model;
writeFileSync(join(folder, 'layer.json'), `${JSON.stringify({ processor, layers, parts }, null, 1)}\n`);
