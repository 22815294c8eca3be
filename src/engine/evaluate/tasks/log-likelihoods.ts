import { UserError } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import type { Activations, Network } from '../../network/network.ts';
import { firstPlace } from '../not-finite.ts';
import { type Part, passLayers, tokensTogether } from '../through-layers.ts';
import { type Batch, batchesOf, roundedLength } from './batches.ts';
import type { EncodedTask, Request } from './encode.ts';
import { shareInputs } from './shared-inputs.ts';

/** Log-likelihoods that were just measured, by the place of their request. */
export type Measured = ReadonlyMap<number, number>;

/** The label of a row that fills up. */
const NO_LABEL = -1;

/**
 * Measures log p(labels | input) of each request in nats: the sum over its labels, from float32 logits, which are made for
 * the positions of labels alone. Yields after every group of batches.
 * @throws UserError `evaluation/not-finite`.
 */
export async function* logLikelihoods(
  network: Network,
  { task, questions }: EncodedTask,
  signal?: AbortSignal,
): AsyncGenerator<Measured, void> {
  const requests = questions.flatMap((question) => question.requests);
  const { sequences, hosts } = shareInputs(requests.map(({ input }) => input));
  const guests: number[][] = sequences.map(() => []);
  for (const [request, host] of hosts.entries()) guests[host]!.push(request);
  const { memory, checkpoint } = network;
  const lengths = sequences.map(({ length }) => length);
  const batches = batchesOf(lengths, memory.tokensAtOnce, checkpoint.config.maxPositions);
  for (const group of groupsOf(batches, tokensTogether(network))) {
    const parts = group.map((batch) => partOf(batch, sequences));
    const states = await passLayers(network, parts, signal);
    const found = new Map<number, number>();
    for (const [index, batch] of group.entries()) {
      const wanted = batch.members.flatMap((member, row) =>
        guests[member]!.map((request) => ({ request, row: row * batch.length })),
      );
      const sums = await likelihoodsIn(network, states[index]!, wanted, requests, signal);
      for (const [i, { request }] of wanted.entries()) {
        if (!Number.isFinite(sums[i])) throw await notFinite(network, task, requests[request]!, signal);
        found.set(request, sums[i]!);
      }
    }
    yield found;
  }
}

/** Batches that pass through a layer together. */
function* groupsOf(batches: readonly Batch[], tokens: number): Generator<Batch[]> {
  let group: Batch[] = [];
  let count = 0;
  for (const batch of batches) {
    const own = batch.rows * batch.length;
    if (group.length > 0 && count + own > tokens) {
      yield group;
      [group, count] = [[], 0];
    }
    group.push(batch);
    count += own;
  }
  if (group.length > 0) yield group;
}

function partOf({ members, rows, length }: Batch, sequences: readonly Int32Array[]): Part {
  const ids = new Int32Array(rows * length);
  for (const [row, member] of members.entries()) ids.set(sequences[member]!, row * length);
  return { ids, shape: { batch: rows, sequence: length } };
}

interface Wanted {
  readonly request: number;
  /** The first position of its sequence in the batch. */
  readonly row: number;
}

/** Gathers the residuals that predict labels, and sums the log-likelihoods of each request in float64. */
async function likelihoodsIn(
  network: Network,
  { data, dims }: Activations,
  wanted: readonly Wanted[],
  requests: readonly Request[],
  signal?: AbortSignal,
): Promise<number[]> {
  const width = data.length / (dims[0] ?? 1);
  const count = wanted.reduce((sum, { request }) => sum + requests[request]!.labels.length, 0);
  const rows = roundedLength(count);
  const gathered = new Float32Array(rows * width);
  const labels = new Int32Array(rows).fill(NO_LABEL);
  let at = 0;
  for (const { request, row } of wanted) {
    const { input, labels: own } = requests[request]!;
    const from = row + input.length - own.length;
    gathered.set(data.subarray(from * width, (from + own.length) * width), at * width);
    labels.set(own, at);
    at += own.length;
  }
  const losses = await network.loss(float32([rows, width], gathered), labels, signal);
  let start = 0;
  return wanted.map(({ request }) => {
    const end = start + requests[request]!.labels.length;
    let sum = 0;
    for (; start < end; start++) sum -= losses[start]!;
    return sum;
  });
}

async function notFinite(
  network: Network,
  task: string,
  { input }: Request,
  signal?: AbortSignal,
): Promise<UserError> {
  const isPlain = network.options.mode === 'plain';
  const where = await firstPlace(network, input, signal);
  return new UserError(
    'evaluation/not-finite',
    `The ${isPlain ? 'full-precision' : 'quantized'} network gives a choice of ${task} a likelihood that is not a number: ${where}.`,
    isPlain
      ? 'The model overflows float32 at full precision, before anything is quantized: use another checkpoint.'
      : 'Evaluate at 16 bits first, then lower the bits one at a time: this shows which of them overflows.',
  );
}
