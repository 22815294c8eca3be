/**
 * This script asks what a rotation of its own for each reader of the residual would be worth, and whether the changes of
 * basis between readers are of low rank, as ReSpinQuant's repair of the residual takes them to be. Each reader's rotation
 * is learned alone by the peak objective, from one Hadamard matrix for all and from the common R1. Errors are those of
 * rounding rows to 4 bits that no rotation was learned on.
 *
 *     node --import tsx bench/quality/residual-basis.ts MODEL TEXT [--layers 0,1,2] [--sequences 4] [--length 1024]
 *         [--steps 200] [--rate 0.02] [--threads N]
 *
 * The first half of the sequences is learned on, the second one measured. Readers are consecutive within neighbouring
 * layers; a change of basis across a gap is left out.
 */
import { parseArgs } from 'node:util';
import { captureActivations } from '../../src/engine/calibration/capture.ts';
import type { CapturedRows } from '../../src/engine/calibration/reservoir.ts';
import { readCalibration } from '../../src/engine/calibration/text.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { randomSignHadamard } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { normOf, repaired, type Step, shareOfLargest, sizeOf, stepBetween } from './basis/low-rank.ts';
import { learned, roundingError } from './basis/site-rotation.ts';
import { type SiteRows, siteRows } from './basis/site-rows.ts';

const RANKS = [8, 16, 32, 64];
const REPAIR = 32;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: { type: 'string' },
    sequences: { type: 'string', default: '4' },
    length: { type: 'string', default: '1024' },
    steps: { type: 'string', default: '200' },
    rate: { type: 'string', default: '0.02' },
    threads: { type: 'string' },
  },
});
const [model, text] = positionals;
if (model === undefined || text === undefined) throw new Error('usage: residual-basis.ts MODEL TEXT');
const learning = { steps: Number(values.steps), learningRate: Number(values.rate) };

const checkpoint = await openCheckpoint(model);
const { hiddenSize: n, layers: depth, vocabSize } = checkpoint.config;
const threads = values.threads === undefined ? {} : { threads: Number(values.threads) };
const runtime = await createRuntime({ kernels: 'auto', ...threads });
const cache = new ProgramCache(runtime);
const network = new Network(cache, checkpoint, {
  ...{ mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false },
});
const layers = values.layers?.split(',').map(Number) ?? Array.from({ length: depth }, (_, layer) => layer);
const sequences = await readCalibration(openTokenizer(model, vocabSize), {
  texts: [text],
  samples: Number(values.sequences),
  sequenceLength: Number(values.length),
  bos: false,
});
const half = Math.ceil(sequences.length / 2);
const measuredFrom = half * Number(values.length);

/** A reader with its rows and the rotations that are compared. */
interface Reader {
  readonly site: SiteRows;
  readonly measured: CapturedRows;
  /** Learned on its own rows, from the Hadamard matrix and from the common R1. */
  readonly own: Record<Start, Float64Array>;
  /** Of the inputs of q/k/v, learned from the Hadamard matrix on the measured rows: what other rows of a site change. */
  readonly again: Float64Array | null;
}
type Start = 'hadamard' | 'common';

const hadamard = randomSignHadamard(n, new Rng(0));
const captured = await captureActivations(cache, network, sequences.slice(0, half), {
  ...{ seed: 0, massiveWeight: 1 },
});
console.error('captured');
const common = await learned(cache, hadamard, captured.residual![0]!, learning);
console.error('R1: learned');
const readers: Reader[] = [];
for (const site of await siteRows(cache, network, sequences, layers)) readers.push(await readerOf(site));

async function readerOf(site: SiteRows): Promise<Reader> {
  const part = (rows: Float32Array): CapturedRows => ({ width: n, count: rows.length / n, rows });
  const rows = part(site.rows.subarray(0, measuredFrom * n));
  const measured = part(site.rows.subarray(measuredFrom * n));
  const own = {
    hadamard: await learned(cache, hadamard, rows, learning),
    common: await learned(cache, common, rows, learning),
  };
  const again = site.reader === 'attention-input' ? await learned(cache, hadamard, measured, learning) : null;
  console.error(`${site.layer} ${site.reader}: learned`);
  return { site, measured, own, again };
}

const percent = (share: number): string => (100 * share).toFixed(1).padStart(6);
const nameOf = ({ site: { layer, reader } }: Reader): string => `${layer} ${reader}`.padEnd(20);
const follows = (a: Reader, b: Reader): boolean => b.site.layer - a.site.layer <= 1;
const sums = new Map<string, number[]>();

/** Prints a line of numbers, of which the means are printed at the end. */
function note(kind: string, name: string, numbers: readonly number[], show: (value: number) => string): void {
  const sum = sums.get(kind) ?? [0, ...numbers.map(() => 0)];
  [1, ...numbers].forEach((value, i) => {
    sum[i] = sum[i]! + value;
  });
  sums.set(kind, sum);
  console.log(`${name} ${numbers.map(show).join(' ')}`);
}

function noteStep(kind: string, name: string, step: Step): void {
  note(
    kind,
    name,
    [...RANKS.map((rank) => shareOfLargest(step, rank)), sizeOf(step), normOf(step) / 2],
    percent,
  );
}

console.log(
  `${runtime.description}; ${measuredFrom} tokens learned on, ${sequences.length * Number(values.length) - measuredFrom} measured`,
);
console.log(`\nT − I: % of its squares in the largest ${RANKS.join(', ')} values; ‖T − I‖² of 2n; norm of 2`);
const rebuilt = new Map<Reader, Record<Start, { alone: Float64Array; chain: Float64Array }>>();
for (const start of ['hadamard', 'common'] as const) {
  console.log(`from ${start}`);
  let before: Reader | null = null;
  let chain = common;
  for (const reader of readers) {
    const own = reader.own[start];
    const isNext = before !== null && follows(before, reader);
    let alone = own;
    if (before !== null && isNext) {
      const step = stepBetween(before.own[start], own, n);
      noteStep(`T, from ${start}`, nameOf(reader), step);
      alone = repaired(before.own[start], step, REPAIR);
      chain = chain === before.own[start] ? alone : repaired(chain, stepBetween(chain, own, n), REPAIR);
    } else chain = own;
    const known = rebuilt.get(reader) ?? { hadamard: { alone, chain }, common: { alone, chain } };
    rebuilt.set(reader, { ...known, [start]: { alone, chain } });
    before = reader;
  }
}
console.log('the same site, learned on other rows');
for (const reader of readers)
  if (reader.again)
    noteStep('T, other rows', nameOf(reader), stepBetween(reader.own.hadamard, reader.again, n));

const unit = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
const COLUMNS = ['none', 'Hadamard', 'R1', 'own', 'own/R1', 'pair', 'pair/R1', 'chain', 'chain/R1'];
console.log(`\nerror of rounding, % of the energy: ${COLUMNS.join(', ')}`);
for (const reader of readers) {
  const { hadamard: a, common: b } = rebuilt.get(reader)!;
  const rotations = [
    ...[unit, hadamard, common, reader.own.hadamard, reader.own.common],
    ...[a.alone, b.alone, a.chain, b.chain],
  ];
  const errors: number[] = [];
  for (const rotation of rotations) errors.push(await roundingError(cache, reader.measured, rotation));
  note('error', nameOf(reader), errors, (value) => (100 * value).toFixed(3).padStart(7));
}
console.log('\nmeans');
for (const [kind, [count, ...rest]] of sums)
  console.log(
    `${kind.padEnd(20)} ${rest.map((sum) => ((100 * sum) / count!).toFixed(3).padStart(7)).join(' ')}`,
  );
await cache.release();
runtime.close();
