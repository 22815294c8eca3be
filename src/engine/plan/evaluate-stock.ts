/** Perplexity of networks as GPUs run them: as ONNX models of stock operators. */
import type { ResolvedExperiment } from '../../config/index.ts';
import { UserError } from '../../protocol/errors.ts';
import { type RunEvent, timed, type Variant } from '../../protocol/events.ts';
import { evaluateTexts } from '../evaluate/texts.ts';
import type { Network } from '../network/network.ts';
import type { StockNetwork } from '../onnx-export/stock-network.ts';
import type { DeviceKind, RuntimeDevice } from '../runtime/types.ts';
import type { Executor } from './execute.ts';
import { runJob } from './job.ts';
import { unmappedNetwork } from './networks.ts';
import type { EvaluateOptions, EvaluateResult } from './options.ts';
import { phase } from './phases.ts';
import { Places } from './places.ts';
import { type Source, warningsOf } from './source.ts';
import { expectStockRun, openOnDevice, type StockFile, stockLabel, writeForDevice } from './stock-run.ts';
import { evaluationTexts, type Workbench } from './workbench.ts';
import { mergedNetworkOf } from './writer-network.ts';

/**
 * Measures perplexity. Networks are made on the processor.
 * @throws UserError `integer/not-kept`, `export/…`, `device/…`.
 */
export async function* evaluateStock(
  on: DeviceKind,
  experiment: ResolvedExperiment,
  source: Source | null,
  options: EvaluateOptions,
): AsyncGenerator<RunEvent, EvaluateResult> {
  if (options.runDir !== undefined || options.record !== undefined) throw notKept();
  const named = [options.rotations, options.weights].filter((path) => path !== undefined);
  const setting = {
    job: 'evaluate' as const,
    experiment: { ...experiment, device: 'cpu' as const },
    options,
    places: new Places(null, named, experiment.runs),
    run: null,
  };
  return yield* runJob(setting, async function* (bench, executor) {
    yield* warningsOf(source);
    yield* expectStockRun(on, bench);
    yield* taskWarning(bench);
    const texts = yield* phase('tokenize', {}, () => evaluationTexts(bench, options.signal));
    const files = yield* writtenNetworks(on, executor, source, options.variants ?? BOTH);
    let device: RuntimeDevice = bench.runtime.device;
    const open = async (file: StockFile): Promise<StockNetwork> => {
      const network = await openOnDevice(on, file, bench);
      ({ device } = network);
      return network;
    };
    const readers = Object.fromEntries(
      [...files].map(([variant, file]) => [variant, () => open(file)] as const),
    );
    const perplexity = yield* phase('evaluate', {}, () => evaluateTexts(texts, readers, options.signal));
    const rotationsOf = source?.origin ?? null;
    return { perplexity, tasks: [], bits: stockLabel(experiment), rotationsOf, products: null, device };
  });
}

const BOTH: readonly Variant[] = ['full-precision', 'quantized'];

/** All networks are written before the first is measured: what cannot be written must not wait for that. */
async function* writtenNetworks(
  on: DeviceKind,
  executor: Executor,
  source: Source | null,
  variants: readonly Variant[],
): AsyncGenerator<RunEvent, Map<Variant, StockFile>> {
  const { bench } = executor;
  const files = new Map<Variant, StockFile>();
  const write = (variant: Variant, network: Network) =>
    writeForDevice({ device: on, headBits: 16 }, network, executor, variant);
  if (variants.includes('full-precision'))
    files.set('full-precision', yield* write('full-precision', unmappedNetwork(bench)));
  if (!variants.includes('quantized')) return files;
  const network = yield* mergedNetworkOf({ source, run: null }, bench, executor, false);
  return files.set('quantized', yield* write('quantized', network));
}

function* taskWarning({ experiment }: Workbench): Generator<RunEvent> {
  if (experiment.evaluation.tasks.length === 0) return;
  const message =
    'Tasks (evaluation.tasks) are left out: as deployed on a GPU, perplexity alone is measured.';
  yield timed({ type: 'warning', message, hint: 'Leave --integer out to measure them.' });
}

/** Kept numbers are those of a run's setting, whose activations, keys and values a GPU rounds otherwise. */
export function notKept(): UserError {
  return new UserError(
    'integer/not-kept',
    'Numbers of the network as a GPU runs it (--integer) are not kept: they may be of another setting than the run.',
    'Leave --keep or --run out, or compute on the processor (--device cpu).',
  );
}
