/** Means of keys that are taken out of them before they are quantized, where an experiment asks for that. */
import { existsSync } from 'node:fs';
import { type ResolvedExperiment, resolvedCells, takesKeyMeans } from '../../config/index.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { parseKeyChoices } from '../../runs/index.ts';
import { keyMeans } from '../calibration/key-means.ts';
import { withKeyMeans } from '../model/checkpoint.ts';
import {
  choosingIn,
  chosenBy,
  comparisonOf,
  type KeyChoices,
  keyQuantizersName,
  withKeyChoice,
} from './key-offset.ts';
import { plainNetwork } from './networks.ts';
import { phase } from './phases.ts';
import type { Places } from './places.ts';
import { digestOf } from './step.ts';
import { calibrationBlocks, type Workbench } from './workbench.ts';

/** What is known of the keys of a model on a text. */
export interface KeyFacts {
  /** Tells the model and the text. */
  readonly key: string;
  readonly means: readonly HostTensor<Float32Array>[];
  readonly choices: KeyChoices;
}

/** True where keys are quantized without their mean, or may be, in the experiment or in a cell of its table. */
export function readsKeyMeans(experiment: ResolvedExperiment): boolean {
  return namesKeyMeans(experiment) || choosingIn(experiment).length > 0;
}

function namesKeyMeans(experiment: ResolvedExperiment): boolean {
  const cells = resolvedCells(experiment).map((cell) => cell.experiment);
  return [experiment, ...cells].some(({ quantization }) => takesKeyMeans(quantization));
}

interface Looking {
  /** True where no network is run: what no run has kept then stays open. */
  readonly previews?: boolean;
  /** True where nothing is kept that other experiments share. */
  readonly looksOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The bench with the means of keys beside the weights of its model, for all networks that are made of it, and with what
 * its experiment leaves open about them chosen: as a run has kept it, else by the calibration text.
 */
export async function* benchWithKeyMeans(
  bench: Workbench,
  places: Places,
  { previews = false, looksOnly = false, signal }: Looking = {},
): AsyncGenerator<RunEvent, Workbench> {
  const { experiment } = bench;
  if (!readsKeyMeans(experiment)) return { ...bench, ...withKeyChoice(experiment, {}) };
  const key = await keyOf(bench);
  const files = [places.own('keyMeans') ?? [], places.others('keyMeans', key)].flat();
  const kept = files.map((path) => readKeyFacts(path, key, bench)).find((found) => found !== null) ?? null;
  if (previews) return kept ? chosen(bench, kept) : bench;
  const facts =
    kept ?? (yield* phase('prepare', {}, () => averaged(bench, key, signal), 'means of the keys'));
  if (places.own('keyMeans') !== null || !(kept || looksOnly)) await keepKeyFacts(facts, bench, places);
  const own = chosen(bench, facts);
  if (!isTaken(own)) return own;
  return {
    ...own,
    checkpoint: withKeyMeans(bench.checkpoint, facts.means),
    keyMeans: digestOf(
      'key-means',
      facts.means.map(({ data }) => data),
    ),
  };
}

function chosen(bench: Workbench, facts: KeyFacts): Workbench {
  return { ...bench, ...withKeyChoice(bench.experiment, facts.choices), keyFacts: facts };
}

/** True where a network of the bench is without the means of its keys. */
function isTaken({ experiment, keyFacts }: Workbench): boolean {
  return (
    namesKeyMeans(experiment) || Object.values(keyFacts?.choices ?? {}).some(({ taken }) => taken === 'mean')
  );
}

/** Writes it into the run of a cell, where its keys are of it. */
export async function keepOwnKeyFacts(bench: Workbench, places: Places): Promise<void> {
  const { experiment, keyFacts, keyChoice } = bench;
  if (keyFacts && (keyChoice || takesKeyMeans(experiment.quantization)))
    await keepKeyFacts(keyFacts, bench, places);
}

/** Writes down what is known: in the run that it is known for, else where jobs and cells of a table look for it. */
async function keepKeyFacts(facts: KeyFacts, bench: Workbench, places: Places): Promise<void> {
  const shared = places.isShared ? () => places.makeShared('keyMeans', facts.key) : null;
  const own = places.own('keyMeans') ?? (await shared?.()) ?? null;
  if (own === null || readKeyFacts(own, facts.key, bench)) return;
  places.check();
  const tensors = facts.means.map((mean, layer) => [String(layer), mean] as const);
  const choices = Object.keys(facts.choices).length > 0 && { choices: JSON.stringify(facts.choices) };
  await writeSafetensors(own, Object.fromEntries(tensors), { key: facts.key, ...choices });
}

async function keyOf({ experiment, checkpoint }: Workbench): Promise<string> {
  const { text, samples, sequenceLength, bos } = experiment.calibration;
  return digestOf({ model: await checkpoint.hash(), text, samples, sequenceLength, bos });
}

async function averaged(bench: Workbench, key: string, signal?: AbortSignal): Promise<KeyFacts> {
  const { config } = bench.checkpoint;
  const open = new Map(choosingIn(bench.experiment).map((own) => [keyQuantizersName(own), own] as const));
  const compared = [...open.values()].map((own) => comparisonOf(own, config));
  const blocks = await calibrationBlocks(bench, signal);
  const { means, sqnrDb } = await keyMeans(bench.cache, plainNetwork(bench), blocks, compared, signal);
  const choices = [...open.keys()].map((name, index) => [name, chosenBy(sqnrDb[index]!, config)] as const);
  return { key, means, choices: Object.fromEntries(choices) };
}

/** Null where the file is not there, not of this key, or lacks a choice: all is then looked at again. */
function readKeyFacts(path: string, key: string, { checkpoint, experiment }: Workbench): KeyFacts | null {
  if (!existsSync(path)) return null;
  const { layers, kvHeads, headDim } = checkpoint.config;
  try {
    const { tensors, metadata } = readSafetensorsHeader(path);
    const choices = parseKeyChoices(metadata.choices);
    const wanted = choosingIn(experiment).map(keyQuantizersName);
    if (metadata.key !== key || !wanted.every((name) => name in choices)) return null;
    const means = Array.from({ length: layers }, (_, layer) => {
      const tensor = tensors.get(String(layer));
      const values = tensor ? toFloat32(readTensor(tensor)) : new Float32Array();
      const isWhole = values.length === kvHeads * headDim && values.every(Number.isFinite);
      return isWhole ? float32([1, values.length], values) : null;
    });
    return means.every((mean) => mean !== null) ? { key, means, choices } : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}
