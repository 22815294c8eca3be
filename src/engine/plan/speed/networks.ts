/** Networks of a writer, opened to be measured side by side. */
import { UserError } from '../../../protocol/errors.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { ContenderName, LeftOut } from '../../../protocol/speed.ts';
import { formatBytes } from '../../../protocol/text.ts';
import { Decoder } from '../../generate/decoder.ts';
import { cacheBytes, shareOf16Bits, tokenCacheBytes } from '../../network/cache-form.ts';
import type { Network } from '../../network/network.ts';
import { ReadingContender, timed } from '../../speed/contender.ts';
import { longestText } from '../../speed/measure.ts';
import { machineBytes } from '../machine-bytes.ts';
import { plainNetwork } from '../networks.ts';
import { labelOf } from '../workbench.ts';
import { networkOf } from '../writer-network.ts';
import { type Entrant, randomIds, type SpeedPlace } from './place.ts';

/** A network that is ready to be read with. */
interface Opened {
  readonly name: ContenderName;
  readonly title: string;
  readonly network: Network;
  readonly seconds: number;
}

/**
 * The run as it is deployed, what else of it and of its model was asked for.
 * @throws UserError `bench/memory`.
 */
export async function* openNetworks(
  place: SpeedPlace,
  left: LeftOut[],
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, Entrant[]> {
  const { request, opened } = place;
  const entrants: Entrant[] = [];
  let bytes = 0;
  const add = async (found: Opened): Promise<void> => {
    bytes += bytesOf(found.network, place);
    expectMemory(bytes);
    entrants.push(await entrantOf(found, place, signal));
  };
  if (!opened.isPlain) {
    const own = yield* quantized(place, false);
    await add(own);
    if (own.name === 'simulated') left.push(withoutIntegers(own, place));
    else if (request.beside.includes('simulated')) await add(yield* quantized(place, true));
  }
  if (opened.isPlain || request.beside.includes('full-precision')) await add(fullPrecision(place));
  return entrants;
}

/** @param simulated false: in whole numbers, as far as that can be. */
async function* quantized(place: SpeedPlace, simulated: boolean): AsyncGenerator<RunEvent, Opened> {
  const { opened, bench, executor, request } = place;
  const began = performance.now();
  const network = yield* networkOf(opened, bench, executor, simulated);
  const headBits = simulated ? 16 : request.headBits;
  network.setHeadBits(headBits);
  const isInteger = (network.products?.integer.length ?? 0) > 0;
  const how = isInteger ? 'integer matmul' : 'simulated in float32';
  return {
    name: isInteger ? 'integer' : 'simulated',
    title: `${labelOf(bench)}, ${how}${headBits < 16 ? `, the output layer in ${headBits} bits` : ''}`,
    network,
    seconds: (performance.now() - began) / 1000,
  };
}

function fullPrecision({ bench }: SpeedPlace): Opened {
  const { dtype } = bench.checkpoint.layer(0).q;
  const title = `full precision, weights in ${dtype}`;
  return { name: 'full-precision', title, network: plainNetwork(bench), seconds: 0 };
}

function withoutIntegers({ network }: Opened, { bench }: SpeedPlace): LeftOut {
  const reasons = network.products?.others.map(({ reason }) => reason) ?? [];
  const reason = bench.cache.abilities.ownKernels
    ? `No layer has an integer matmul${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}.`
    : 'Integer matmuls need the native operators: build them with `npm run build:native`.';
  return { name: 'integer', reason };
}

async function entrantOf(
  { name, title, network, seconds }: Opened,
  place: SpeedPlace,
  signal?: AbortSignal,
): Promise<Entrant> {
  const { sizes, openSeconds } = place;
  const { config } = network.checkpoint;
  const { options } = network;
  const ids = randomIds(place);
  const reader = new Decoder(network, 1, ids.length);
  const first = await timed(() => reader.next(ids.subarray(0, 1), signal));
  const { promptTokens, tokens } = sizes;
  const perToken = tokenCacheBytes(config, options);
  return {
    contender: new ReadingContender(name, reader, ids, sizes),
    facts: {
      title,
      weightBytes: network.weightBytes,
      cacheBytesPerToken: perToken,
      cacheOf16Bits: shareOf16Bits(config, options),
      readBytesPerToken: readWeights(network) + (promptTokens + tokens / 2) * perToken,
      firstTokenSeconds: openSeconds + seconds + first,
    },
  };
}

/** Of embeddings that are no output layer, or not in its form, a token reads one row. */
function readWeights({ checkpoint, weightBytes, headBits }: Network): number {
  const { embedding, lmHead } = checkpoint;
  const isRead = embedding === lmHead && headBits === 16;
  return isRead ? weightBytes : weightBytes - embedding.byteLength;
}

function bytesOf(network: Network, { sizes }: SpeedPlace): number {
  const { checkpoint, options } = network;
  return network.weightBytes + cacheBytes(checkpoint.config, longestText(sizes), options);
}

/** @throws UserError `bench/memory`. */
function expectMemory(needed: number): void {
  const there = machineBytes();
  if (needed <= there) return;
  throw new UserError(
    'bench/memory',
    `The networks take ${formatBytes(needed)} of weights, keys and values; this machine has ${formatBytes(there)} of memory.`,
    'Leave networks out with --beside, or ask for fewer tokens with --depths.',
  );
}
