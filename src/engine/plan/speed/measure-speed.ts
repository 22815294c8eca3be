/** How fast a run is, beside its model and what else would be used, measured in turn in one process. */
import { existsSync, statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { UserError } from '../../../protocol/errors.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type {
  ContenderName,
  ContenderSpeed,
  LeftOut,
  SpeedEvent,
  SpeedSizes,
} from '../../../protocol/speed.ts';
import { instructionSets, ReadBandwidth } from '../../runtime/read-bandwidth.ts';
import { type LlamaBench, LlamaContender } from '../../speed/llama-bench.ts';
import { type MeasuredRates, measureInTurn } from '../../speed/measure.ts';
import { runJob } from '../job.ts';
import { type OpenedWriter, openWriter } from '../opened-writer.ts';
import type { EngineOptions } from '../options.ts';
import { warningsOf } from '../source.ts';
import { labelOf } from '../workbench.ts';
import { writerSetting } from '../writer-network.ts';
import { openNetworks } from './networks.ts';
import type { Entrant, SpeedPlace, SpeedRequest } from './place.ts';
import { speedSizes } from './sizes.ts';
import { exportForSpeed, type StockFolder, stockEntrant } from './stock.ts';

/** The document of `bench --json`. */
export interface SpeedResult {
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  /** Setting, such as `W4A8KV16`. */
  readonly bits: string;
  readonly machine: Machine;
  readonly sizes: SpeedSizes;
  readonly networks: readonly ContenderSpeed[];
  readonly left: readonly LeftOut[];
}

interface Machine {
  readonly processor: string;
  /** Those of the native operators that this processor has, the best one last. */
  readonly instructionSets: readonly string[];
  readonly threads: number;
  /** Bytes per second that all threads together read, the most of all rounds; null where it cannot be measured. */
  readonly readBandwidth: number | null;
  readonly runtime: string;
}

/**
 * Measures tokens per second, round after round.
 * @throws UserError `bench/…`, and those of the model, its tokenizer and the run. Cancelled.
 */
export async function* measureSpeed(
  request: SpeedRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent | SpeedEvent, SpeedResult> {
  expectFiles(request.llama);
  const left: LeftOut[] = [];
  // A runtime of its own writes it, and is closed before that of the other networks opens.
  const wantsStock = request.beside.includes('onnx');
  const stock = wantsStock ? yield* exportForSpeed(request.from, options, left) : null;
  try {
    return yield* measureBeside(stock, request, left, options);
  } finally {
    await stock?.remove();
  }
}

async function* measureBeside(
  stock: StockFolder | null,
  request: SpeedRequest,
  left: LeftOut[],
  options: EngineOptions,
): AsyncGenerator<RunEvent | SpeedEvent, SpeedResult> {
  const began = performance.now();
  const opened = await openOnProcessor(request);
  const threads = opened.experiment.threads ?? availableParallelism();
  return yield* runJob<SpeedResult, SpeedEvent>(
    writerSetting('generate', opened, options),
    async function* (bench, executor) {
      const openSeconds = (performance.now() - began) / 1000;
      yield* warningsOf(opened.source);
      const { dir, config } = bench.checkpoint;
      const { sizes, left: deep } = speedSizes(request, config, dir);
      left.push(...deep);
      const place = { request, opened, bench, executor, sizes, threads, openSeconds };
      const entrants = yield* openNetworks(place, left, options.signal);
      if (stock) entrants.push(await stockEntrant(place, stock));
      if (request.llama) entrants.push(llamaEntrant(request.llama, place));
      return yield* measured(entrants, place, left, options.signal);
    },
  );
}

async function openOnProcessor({ from, threads }: SpeedRequest): Promise<OpenedWriter> {
  const opened = await openWriter(from, { device: 'cpu', cacheBits: null });
  if (threads === null) return opened;
  return { ...opened, experiment: { ...opened.experiment, threads } };
}

async function* measured(
  entrants: readonly Entrant[],
  { opened, bench, sizes, threads }: SpeedPlace,
  left: readonly LeftOut[],
  signal?: AbortSignal,
): AsyncGenerator<RunEvent | SpeedEvent, SpeedResult> {
  const bandwidth = new ReadBandwidth(threads);
  const contenders = entrants.map(({ contender }) => contender);
  try {
    const rates = yield* measureInTurn(contenders, sizes, () => bandwidth.measure(), signal);
    return {
      model: opened.experiment.model,
      run: opened.run?.dir ?? null,
      bits: labelOf(bench),
      machine: {
        processor: cpus()[0]?.model.trim() ?? 'unknown processor',
        instructionSets: instructionSets(),
        threads,
        readBandwidth: bandwidth.most,
        runtime: bench.runtime.description,
      },
      sizes,
      networks: entrants.map((entrant) => speedOf(entrant, rates, bandwidth.most)),
      left,
    };
  } finally {
    for (const { close } of entrants) await close?.();
  }
}

function speedOf(
  { contender: { name }, facts }: Entrant,
  rates: ReadonlyMap<ContenderName, MeasuredRates>,
  bandwidth: number | null,
): ContenderSpeed {
  const own = rates.get(name)!;
  const { readBytesPerToken } = facts;
  const isKnown = readBytesPerToken !== null && bandwidth !== null;
  const ofBandwidth = isKnown ? (own.decode.fastest * readBytesPerToken) / bandwidth : null;
  return { name, ...facts, ...own, ofBandwidth };
}

function llamaEntrant(llama: LlamaBench, { threads, sizes }: SpeedPlace): Entrant {
  return {
    contender: new LlamaContender(llama, threads, sizes),
    facts: {
      title: `llama.cpp, ${llama.gguf}`,
      weightBytes: statSync(llama.gguf).size,
      cacheBytesPerToken: null,
      cacheOf16Bits: null,
      readBytesPerToken: null,
      firstTokenSeconds: null,
    },
  };
}

/** @throws UserError `bench/no-file`, before anything is computed. */
function expectFiles(llama: LlamaBench | null): void {
  if (llama === null) return;
  const places = { '--llama-bench': llama.program, '--gguf': llama.gguf };
  for (const [option, path] of Object.entries(places)) {
    if (existsSync(path) && statSync(path).isFile()) continue;
    const what = existsSync(path) ? `${path} is no file` : `There is no ${path}`;
    throw new UserError('bench/no-file', `${what} (${option}).`, 'Name a file that is there.');
  }
}
