import { existsSync, statSync } from 'node:fs';
import { expectWritable } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/printable.ts';
import { formatBytes, formatCount } from '../../protocol/text.ts';
import type { ActivationsFile, SiteRecord, WeightRecord } from '../../runs/index.ts';
import { writeJson } from '../../runs/index.ts';
import { loadEngine } from '../engine.ts';
import { type ComputeFlags, loadExperiment } from '../experiment.ts';
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
  if (isModel) expectUnnamed(path, flags);
  await (isModel ? inspectModel(path, output) : inspectExperiment(path, flags, output));
}

/** A model alone has neither rotations nor statistics. @throws UserError `cli/not-used` */
function expectUnnamed(model: string, { rotations, out }: InspectFlags): void {
  const option = rotations !== undefined ? '--rotations' : out !== undefined ? '--out' : null;
  if (option === null) return;
  throw new UserError(
    'cli/not-used',
    `${model} is a model folder, whose contents are listed: ${option} would not be used.`,
    `Name an experiment file (*.spinquant.json) to measure activations, or leave ${option} out.`,
  );
}

async function inspectModel(dir: string, output: Output): Promise<void> {
  const { tiedEmbeddings, ...description } = await (await loadEngine()).describeModel(dir);
  const { config, parameters, sizeBytes, dtypes, tensors, hadamard, warnings } = description;
  for (const { message, hint } of warnings) output.warn(message, printable(`${message} ${hint}`));
  output.document({ model: dir, ...description });
  const rows = [
    ['architecture', config.architecture],
    ['layers', String(config.layers)],
    ['hidden size', String(config.hiddenSize)],
    ['heads', `${config.heads}, ${config.kvHeads} for keys and values`],
    ['head size', String(config.headDim)],
    ['intermediate size', String(config.intermediateSize)],
    ['vocabulary', `${config.vocabSize}${tiedEmbeddings ? ', embeddings tied to the head' : ''}`],
    ['parameters', parameters.toLocaleString('en')],
    ['weights', `${formatBytes(sizeBytes)} in ${formatCount(tensors, 'tensor')}, ${dtypes.join(', ')}`],
    ['Hadamard of R1', hadamard.r1],
    ['Hadamard of R2, R3', hadamard.r2],
    ['Hadamard of R4', hadamard.r4],
  ];
  output.result(formatTable(['model', dir], rows, ['left', 'left']));
}

async function inspectExperiment(file: string, flags: InspectFlags, output: Output): Promise<void> {
  if (flags.out !== undefined) expectWritable(flags.out);
  const experiment = await loadExperiment(file, 'inspect', output, flags.device);
  const engine = await loadEngine();
  const named = flags.rotations === undefined ? null : { path: flags.rotations };
  const source = await engine.findSource(experiment, named);
  const statistics = await interruptible(output, (signal) =>
    follow(
      engine.inspectActivations(experiment, { signal, kernels: flags.kernels, rotations: source?.rotations }),
      output,
    ),
  );
  // What took minutes is shown before a full disk can spoil it.
  output.document(statistics);
  output.result(statisticsTable(statistics));
  if (flags.out !== undefined) writeJson(flags.out, statistics);
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
  const sites = formatTable(head, statistics.sites.map(statisticsRow), aligns);
  return [statistics.bits, sites, ...offsetText(statistics), ...weightsTable(statistics)].join('\n\n');
}

/** Tells what taking a part out of keys is worth; empty where nothing is taken out. */
function offsetText({ sites }: ActivationsFile): string[] {
  const rows = sites.flatMap(({ layer, offset, after }) =>
    offset ? [[String(layer), offset.part, decibels(offset.keptSqnrDb), decibels(after.sqnrDb)]] : [],
  );
  if (rows.length === 0) return [];
  const head = ['layer', 'of keys', 'SQNR dB with it', 'without it'];
  return [formatTable(head, rows, ['right', 'left', 'right', 'right'])];
}

/** None for statistics that have no weights. */
function weightsTable({ weights = [] }: ActivationsFile): string[] {
  if (weights.length === 0) return [];
  const head = ['layer', 'weight', 'maps', 'kurtosis', 'mapped', 'SQNR dB', 'mapped'];
  const aligns = head.map((_, column) => (column === 1 || column === 2 ? 'left' : 'right'));
  return [formatTable(head, weights.map(weightRow), aligns)];
}

function weightRow({ layer, linear, rotation, before, after }: WeightRecord): string[] {
  return [
    String(layer),
    linear,
    rotation.join(' ') || '–',
    before.kurtosis.toFixed(1),
    after.kurtosis.toFixed(1),
    decibels(before.sqnrDb),
    decibels(after.sqnrDb),
  ];
}

const decibels = (value: number | null): string => (value === null ? '–' : value.toFixed(1));

function statisticsRow({ layer, site, rotation, offset, before, after }: SiteRecord): string[] {
  const acting = [...rotation, ...(offset ? [`−${offset.part}`] : [])];
  return [
    String(layer),
    site,
    acting.join(' ') || '–',
    before.kurtosis.toFixed(1),
    after.kurtosis.toFixed(1),
    before.maxAbs.toPrecision(3),
    after.maxAbs.toPrecision(3),
    decibels(before.sqnrDb),
    decibels(after.sqnrDb),
  ];
}
