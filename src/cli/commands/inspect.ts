import { existsSync, statSync } from 'node:fs';
import { elementCount } from '../../protocol/tensor.ts';
import { formatBytes } from '../../protocol/text.ts';
import type { ActivationsFile, SiteRecord } from '../../runs/index.ts';
import { writeJson } from '../../runs/index.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, chooseRotations, loadExperiment } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { formatTable } from '../table.ts';

export interface InspectFlags extends ComputeFlags {
  readonly rotations?: string;
  readonly out?: string;
}

export async function inspect(path: string, flags: InspectFlags, output: Output): Promise<undefined> {
  const isModel = existsSync(path) && statSync(path).isDirectory();
  await (isModel ? inspectModel(path, output) : inspectExperiment(path, flags, output));
}

/** What is in a model folder. The folder is checked in full: every tensor, its shape and its place in the files. */
async function inspectModel(dir: string, output: Output): Promise<void> {
  const { openCheckpoint } = await import('../../engine/model/checkpoint.ts');
  const checkpoint = await openCheckpoint(dir);
  const { config, tensors, sizeBytes, tiedEmbeddings } = checkpoint;
  const parameters = [...tensors.values()].reduce((sum, tensor) => sum + elementCount(tensor.dims), 0);
  const dtypes = [...new Set([...tensors.values()].map((tensor) => tensor.dtype))];
  const { planHadamard } = await import('../../engine/rotation/hadamard-plan.ts');
  const hadamard = {
    r1: planHadamard(config.hiddenSize).statement,
    r2: planHadamard(config.headDim).statement,
    r4: planHadamard(config.intermediateSize).statement,
  };
  output.document({ model: dir, config, parameters, sizeBytes, dtypes, tensors: tensors.size, hadamard });
  const rows = [
    ['architecture', config.architecture],
    ['layers', String(config.layers)],
    ['hidden size', String(config.hiddenSize)],
    ['heads', `${config.heads}, ${config.kvHeads} for keys and values`],
    ['head size', String(config.headDim)],
    ['intermediate size', String(config.intermediateSize)],
    ['vocabulary', `${config.vocabSize}${tiedEmbeddings ? ', embeddings tied to the head' : ''}`],
    ['parameters', parameters.toLocaleString('en')],
    ['weights', `${formatBytes(sizeBytes)} in ${tensors.size} tensors, ${dtypes.join(', ')}`],
    ['Hadamard of R1', hadamard.r1],
    ['Hadamard of R2, R3', hadamard.r2],
    ['Hadamard of R4', hadamard.r4],
  ];
  output.result(formatTable(['model', dir], rows, ['left', 'left']));
}

async function inspectExperiment(file: string, flags: InspectFlags, output: Output): Promise<void> {
  const experiment = await loadExperiment(file, 'inspect', output, flags.device);
  const rotations = await chooseRotations(experiment, flags.rotations);
  const engine = await loadEngine();
  const statistics = await interruptible(output, (signal) =>
    follow(engine.inspectActivations(experiment, { signal, kernels: flags.kernels, rotations }), output),
  );
  if (flags.out !== undefined) writeJson(flags.out, statistics);
  output.document(statistics);
  output.result(statisticsTable(statistics));
}

function statisticsTable(statistics: ActivationsFile): string {
  const head = [
    'layer',
    'site',
    'rotation',
    'kurtosis',
    'rotated',
    'max |x|',
    'rotated',
    'SQNR dB',
    'rotated',
  ];
  const aligns = head.map((_, column) => (column === 1 || column === 2 ? 'left' : 'right'));
  return `${statistics.bits}\n\n${formatTable(head, statistics.sites.map(statisticsRow), aligns)}`;
}

function statisticsRow({ layer, site, rotation, before, after }: SiteRecord): string[] {
  const decibels = (value: number | null) => (value === null ? '–' : value.toFixed(1));
  return [
    String(layer),
    site,
    rotation.join(' ') || '–',
    before.kurtosis.toFixed(1),
    after.kurtosis.toFixed(1),
    before.maxAbs.toPrecision(3),
    after.maxAbs.toPrecision(3),
    decibels(before.sqnrDb),
    decibels(after.sqnrDb),
  ];
}
