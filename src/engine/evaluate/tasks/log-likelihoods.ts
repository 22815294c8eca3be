import { UserError } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { gatherNumbers, type Ranks } from '../../distributed/ranks.ts';
import { ropeLimits } from '../../model/rope.ts';
import type { Activations, Network } from '../../network/network.ts';
import { firstPlace } from '../not-finite.ts';
import { passLayers, tokensTogether } from '../through-layers.ts';
import { type Batch, batchesOf, roundedLength } from './batches.ts';
import type { EncodedQuestion, EncodedTask, Request } from './encode.ts';
import { type PackedBatch, packBatch } from './packed-batch.ts';
import { shareInputs } from './shared-inputs.ts';

/** Log-likelihoods that were just measured, by the place of their request. */
export type Measured = ReadonlyMap<number, number>;

/** The label of a row that fills up. */
const NO_LABEL = -1;

/**
 * Measures log p(labels | input) of each request in nats: the sum over its labels, from float32 logits, which are made for
 * the positions of labels alone. Yields after every group of batches, one for each rank.
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
  const families = familiesOf(questions, hosts);
  const batches = batchesOf(families, lengths, memory.tokensAtOnce, ropeLimits(checkpoint.config));
  const groups = groupsOf(batches, sequences, tokensTogether(network));
  for (const round of roundsOf(groups, network.ranks.size)) {
    const own = round[network.ranks.rank] ?? [];
    const found = await everywhere(
      network.ranks,
      await likelihoodsOf(network, own, guests, requests, signal),
    );
    for (const [request, value] of found)
      if (!Number.isFinite(value)) throw await notFinite(network, task, requests[request]!, signal);
    yield found;
  }
}

/** One group for each rank; the last round may have fewer. */
function* roundsOf<T>(groups: Iterable<T>, size: number): Generator<T[]> {
  let round: T[] = [];
  for (const group of groups) {
    round.push(group);
    if (round.length < size) continue;
    yield round;
    round = [];
  }
  if (round.length > 0) yield round;
}

/** What all ranks found, in the order of ranks. */
async function everywhere(ranks: Ranks, own: ReadonlyMap<number, number>): Promise<Map<number, number>> {
  if (ranks.size === 1) return new Map(own);
  const numbers = await gatherNumbers(ranks, [...own].flat());
  const found = new Map<number, number>();
  for (let i = 0; i < numbers.length; i += 2) found.set(numbers[i]!, numbers[i + 1]!);
  return found;
}

/** @param guests requests by the sequence that they are in. */
async function likelihoodsOf(
  network: Network,
  group: readonly PackedBatch[],
  guests: readonly (readonly number[])[],
  requests: readonly Request[],
  signal?: AbortSignal,
): Promise<Map<number, number>> {
  const states = await passLayers(network, group, signal);
  const found = new Map<number, number>();
  for (const [index, { batch, sharing }] of group.entries()) {
    const rowOfToken = sharing.rowOfToken.data;
    const wanted = batch.members.flatMap((member, row) =>
      guests[member]!.map((request) => ({ request, rows: rowOfToken.subarray(row * batch.length) })),
    );
    const sums = await likelihoodsIn(network, states[index]!, wanted, requests, signal);
    for (const [i, { request }] of wanted.entries()) found.set(request, sums[i]!);
  }
  return found;
}

/** The sequences of each question, which mostly begin alike; one that serves several questions is the first's. */
function familiesOf(questions: readonly EncodedQuestion[], hosts: readonly number[]): number[][] {
  const known = new Set<number>();
  let request = 0;
  return questions.flatMap(({ requests }) => {
    const own = new Set(requests.map(() => hosts[request++]!).filter((host) => !known.has(host)));
    for (const host of own) known.add(host);
    return own.size > 0 ? [[...own].sort((a, b) => a - b)] : [];
  });
}

/** Batches that pass through a layer together, of at most so many rows of the residual or a single one. */
function* groupsOf(
  batches: readonly Batch[],
  sequences: readonly Int32Array[],
  rows: number,
): Generator<PackedBatch[]> {
  let group: PackedBatch[] = [];
  let count = 0;
  for (const batch of batches) {
    const packed = packBatch(batch, sequences);
    if (group.length > 0 && count + packed.ids.length > rows) {
      yield group;
      [group, count] = [[], 0];
    }
    group.push(packed);
    count += packed.ids.length;
  }
  if (group.length > 0) yield group;
}

interface Wanted {
  readonly request: number;
  /** Rows of the residual for the tokens of its sequence. */
  readonly rows: BigInt64Array;
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
  const length = roundedLength(count);
  const gathered = new Float32Array(length * width);
  const labels = new Int32Array(length).fill(NO_LABEL);
  let at = 0;
  for (const { request, rows } of wanted) {
    const { input, labels: own } = requests[request]!;
    labels.set(own, at);
    for (const row of rows.subarray(input.length - own.length, input.length)) {
      const from = Number(row) * width;
      gathered.set(data.subarray(from, from + width), at++ * width);
    }
  }
  const losses = await network.loss(float32([length, width], gathered), labels, signal);
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
