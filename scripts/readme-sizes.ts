/** Tables of docs/results.md about real sizes, from bench/results/{sizes,quality-smollm2}.json. */

interface Rates {
  readonly seconds: number;
  readonly ofGemm: number;
  readonly peakBytesBeyondWeights: number;
}

interface Peer {
  readonly seconds: readonly number[];
  readonly peakBytes: number;
}

export interface Sizes {
  readonly tokens: number;
  readonly smollm2: {
    readonly steps: Readonly<Record<string, Rates>>;
    readonly evaluation: Rates;
    readonly peers: Readonly<Record<'float32' | 'reference' | 'evaluate', Peer | null>>;
  };
  readonly layers: Readonly<
    Record<
      string,
      {
        readonly secondsPerLayer: number;
        readonly projectedStepSeconds: number;
        readonly anonymousBytes: number;
      }
    >
  >;
  /** A step on one layer of LLaMA-3-8B's shape with a small vocabulary. */
  readonly wide: { readonly step: Rates } & Readonly<Record<'float32' | 'reference', Peer | null>>;
  readonly memoryLimits: readonly {
    readonly weightBits: number;
    readonly memoryLimit: number | null;
    readonly seconds: number;
    readonly peakBytesBeyondWeights: number;
  }[];
  /** GPTQ: what a layer takes, and each sequence of it. */
  readonly rounding: Readonly<
    Record<
      string,
      {
        readonly secondsPerSequence: number;
        readonly secondsPerLayer: number;
        readonly projectedSeconds: number;
        readonly anonymousBytes: number;
      }
    >
  >;
}

/** By the name of a cell: learned ones have seconds and memory, measured ones perplexity. */
export type SmolLm2 = Readonly<
  Record<
    string,
    {
      readonly perplexity?: number;
      readonly seconds: number;
      readonly peakBytes: number;
      readonly stepSeconds?: readonly number[];
    }
  >
>;

export type Markdown = (head: readonly string[], rows: readonly (readonly string[])[]) => string;

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const best = (peer: Peer) => Math.min(...peer.seconds);

const ownRow = (name: string, { seconds, ofGemm, peakBytesBeyondWeights }: Rates) => [
  name,
  `${seconds.toFixed(1)} s`,
  percent(ofGemm),
  gigabytes(peakBytesBeyondWeights),
  '',
];

/** Nothing where the peer was not measured. */
function peerRows(name: string, other: Peer | null, against: Rates): string[][] {
  if (!other) return [];
  const seconds = best(other);
  const times = `${(seconds / against.seconds).toFixed(1)}×`;
  return [[name, `${seconds.toFixed(1)} s`, '', `${gigabytes(other.peakBytes)} in all`, times]];
}

const SAME = 'step, PyTorch, the same mathematics in float32 (W16)';
const REFERENCE = 'step, PyTorch, weights rotated in float64 and recomputed (W16)';

/** Steps and evaluation at SmolLM2-135M's shape and at the width of LLaMA-3-8B, and PyTorch's for the same. */
export function sizesTable({ smollm2, wide, tokens }: Sizes, markdown: Markdown): string {
  const { steps, evaluation, peers } = smollm2;
  const step = steps.W16A4KV4!;
  return markdown(
    [`1 × ${tokens} tokens`, 'seconds', 'of the products’ rate', 'memory beyond the weights', 'times ours'],
    [
      ...Object.entries(steps).map(([name, rates]) => ownRow(`step, SmolLM2-135M's shape, ${name}`, rates)),
      ...peerRows(SAME, peers.float32, step),
      ...peerRows(REFERENCE, peers.reference, step),
      ownRow("evaluation, SmolLM2-135M's shape, W4A4KV4", evaluation),
      ...peerRows('evaluation, PyTorch float32', peers.evaluate, evaluation),
      ownRow("step, one layer of LLaMA-3-8B's shape, W16A4KV4", wide.step),
      ...peerRows(SAME, wide.float32, wide.step),
      ...peerRows(REFERENCE, wide.reference, wide.step),
    ],
  );
}

/** One layer of large models, and what a memory limit does. */
export function memoryTable({ layers, memoryLimits }: Sizes, markdown: Markdown): string {
  return markdown(
    ['', 'seconds', 'memory beyond the weights'],
    [
      ...Object.entries(layers).map(([name, layer]) => [
        `one layer of ${name} forward and backward (a whole step: ${(layer.projectedStepSeconds / 60).toFixed(0)} min)`,
        layer.secondsPerLayer.toFixed(0),
        gigabytes(layer.anonymousBytes),
      ]),
      ...memoryLimits.map((row) => [
        `SmolLM2-135M, 4 × 512 tokens, W${row.weightBits}, memoryLimit ${row.memoryLimit ?? 'none'}`,
        row.seconds.toFixed(1),
        gigabytes(row.peakBytesBeyondWeights),
      ]),
    ],
  );
}

/** Seconds of the fastest run, and its median step where it went through the network. */
function timeOf(runs: readonly SmolLm2[string][]): string {
  const fastest = runs.reduce((a, b) => (a.seconds <= b.seconds ? a : b));
  const steps = [...(fastest.stepSeconds ?? [])].sort((a, b) => a - b);
  const median = steps.length > 0 ? `, ${steps[steps.length >> 1]!.toFixed(0)} s a step` : '';
  return `${fastest.seconds.toFixed(0)} s${median}`;
}

const SETTINGS = ['W4A4KV4', 'W4A4KV4 GPTQ', 'W4A8', 'W16A4KV4'];

/** Rows are methods with the range over seeds, columns bits. */
export function smollm2Table(cells: SmolLm2, markdown: Markdown): string {
  const perplexities = (method: string, bits: string) =>
    [0, 1, 2].flatMap((seed) => cells[`${method} seed ${seed} ${bits}`]?.perplexity ?? []);
  const range = (values: readonly number[]) => {
    if (values.length === 0) return '';
    const [least, most] = [Math.min(...values).toFixed(1), Math.max(...values).toFixed(1)];
    return least === most ? least : `${least} … ${most}`;
  };
  const methods = [
    'hadamard',
    'peak',
    'cross-entropy 50',
    'cross-entropy 50, 16-bit weights',
    'peak, then cross-entropy 20',
    'quick preset',
    'peak, then cross-entropy 20, gradient through the scales',
  ];
  const learned = (method: string) =>
    [0, 1, 2].flatMap((seed) => cells[`learn ${method} seed ${seed}`] ?? []);
  const rows = methods
    .filter((method) => perplexities(method, 'W4A4KV4').length > 0)
    .map((method) => {
      const runs = learned(method);
      return [
        method === 'hadamard' ? 'random Hadamard' : `learned: ${method.replace(/(\d+)/, 'of $1 steps')}`,
        ...SETTINGS.map((bits) => range(perplexities(method, bits))),
        String(perplexities(method, 'W4A4KV4').length),
        runs.length === 0 ? '' : timeOf(runs),
        runs.length === 0 ? '' : gigabytes(Math.max(...runs.map(({ peakBytes }) => peakBytes))),
      ];
    });
  const none = SETTINGS.map((bits) => cells[`none ${bits}`]?.perplexity?.toFixed(0) ?? '');
  const full = cells['full precision']!.perplexity!.toFixed(2);
  return markdown(
    ['SmolLM2-135M, WikiText-2', ...SETTINGS, 'seeds', 'learned in (fastest seed)', 'peak memory'],
    [
      ['full precision', ...SETTINGS.map(() => full), '', '', ''],
      ['round to nearest, no rotation', ...none, '', '', ''],
      ...rows,
    ],
  );
}

/** Time of GPTQ by the layer, for all of a model, and its memory. */
export function roundingTable({ rounding }: Sizes, markdown: Markdown): string {
  const minutes = (seconds: number) =>
    seconds < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
  return markdown(
    ['GPTQ', 'a layer', 'and for each sequence of 2048', 'the model, 128 sequences', 'memory'],
    Object.entries(rounding).map(([name, row]) => [
      name,
      `${row.secondsPerLayer.toFixed(1)} s`,
      `${row.secondsPerSequence.toFixed(2)} s`,
      minutes(row.projectedSeconds),
      gigabytes(row.anonymousBytes),
    ]),
  );
}

export type Curve = Readonly<
  Record<
    string,
    Readonly<Record<string, readonly { readonly perplexity: number; readonly seconds: number }[]>>
  >
>;

/** Perplexity and seconds of ways to make cross-entropy cheaper. */
export function curveTable(curve: Curve, markdown: Markdown): string {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [model, settings] = Object.entries(curve)[0]!;
  return markdown(
    [`${model}, W4A4KV4 with clip search`, 'perplexity, by seed', 'seconds, mean'],
    Object.entries(settings).map(([name, runs]) => [
      name,
      runs.map(({ perplexity }) => perplexity.toFixed(2)).join(', '),
      mean(runs.map(({ seconds }) => seconds)).toFixed(0),
    ]),
  );
}
