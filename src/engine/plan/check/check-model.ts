/** Finds faults of an experiment that only its model shows. Reads headers and short texts, never weights. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  cellFaults,
  cellsOf,
  type Experiment,
  fillsMatrix,
  formatPath,
  hasLearnedRotation,
  INPUT_OF_SITE,
  type JsonPath,
  lastLayer,
  type ParsedExperiment,
  type Purpose,
  type Reading,
  sitesOf,
  trainingOf,
  uniqueFaults,
  worstLayers,
} from '../../../config/index.ts';
import { locateModel, resolveModel } from '../../../hub/locate.ts';
import type { Site } from '../../../protocol/block.ts';
import { UserError } from '../../../protocol/errors.ts';
import type { ModelFault, ModelOutline } from '../../../protocol/worker.ts';
import { type Checkpoint, openCheckpoint } from '../../model/checkpoint.ts';
import { type ModelConfig, readModelConfig } from '../../model/config.ts';
import { expectActivationGroups, weightGroup } from '../../network/quantizers.ts';
import { type HadamardPlan, planAcrossHeads, planHadamard } from '../../rotation/hadamard-plan.ts';
import { networkMemory, networksOf } from '../memory.ts';
import { trainingMemory } from '../training-memory.ts';
import { taskFaults } from './check-tasks.ts';
import { readsCalibration, textFaults } from './check-texts.ts';

export interface ModelCheck {
  readonly faults: readonly ModelFault[];
  /** Null when the experiment names no model, it cannot be read, or its files have other sizes than it claims. */
  readonly config: ModelConfig | null;
}

/**
 * Every fault that shows against the model, whatever else is at fault: rules are asked of what is sound. A model that
 * is not there is not a fault here: the experiment's own check reports it.
 * @param file absolute path of the experiment file; paths in the text are relative to its folder.
 */
export async function checkAgainstModel(
  parsed: ParsedExperiment,
  file: string,
  purpose: Purpose,
): Promise<ModelCheck> {
  const checks: ModelCheck[] = [];
  for (const reading of parsed.readings) {
    const { faults, config } = await checkReading(
      reading,
      parsed.experiment && parsed.written,
      dirname(file),
      purpose,
    );
    checks.push({ faults: faults.map((fault) => placed(reading, fault)), config });
  }
  return {
    faults: uniqueFaults(checks.flatMap(({ faults }) => faults)),
    config: checks[0]?.config ?? null,
  };
}

/** Outline of a model for the layer tree, before anything ran. */
export function outlineOf(config: ModelConfig): ModelOutline {
  const { architecture, layers, hiddenSize, headDim, intermediateSize } = config;
  return { architecture, layers, hiddenSize, headDim, intermediateSize };
}

type Unplaced = Omit<ModelFault, 'range'>;

interface ReadingCheck {
  readonly faults: readonly Unplaced[];
  readonly config: ModelConfig | null;
}

function placed(reading: Reading, fault: Unplaced): ModelFault {
  const { suggestion, ...found } = reading.place(fault);
  // Under a misspelt key nothing can be set: the key is to be mended first.
  const isMoved = found.path.join() !== fault.path.join();
  return suggestion === undefined || isMoved ? found : { ...found, suggestion };
}

/** @param written the values of the text; null where some are at fault. */
async function checkReading(
  reading: Reading,
  written: unknown,
  directory: string,
  purpose: Purpose,
): Promise<ReadingCheck> {
  const { ask } = reading;
  const faults: Unplaced[] = [];
  const named = ask((experiment) => resolveModel(directory, experiment.model));
  const model = named === undefined ? null : attempt(faults, () => locateModel(named));
  if (model === null || !existsSync(join(model, 'config.json'))) return { faults, config: null };
  const config = attempt(faults, () => readModelConfig(model));
  if (config === null) return { faults, config };
  const checkpoint = await openCheckpoint(model).catch((error: unknown) => {
    faults.push(faultOf(error));
    return null;
  });
  faults.push(...(checkpoint?.warnings ?? []).map(warningOf));
  // Sizes that the tensors deny say nothing of the settings, and may be of any height.
  if (faults.some(({ code }) => SIZES_DENIED.includes(code))) return { faults, config: null };
  const cells = fillsMatrix(purpose) ? ask(({ matrix }) => matrix && cellsOf(written, matrix)) : undefined;
  const own = rulesOf(reading, config, purpose).flatMap((rule) => ask(rule) ?? []);
  if (cells)
    faults.push(
      ...cellFaults(cells, written, ({ experiment }) => errorsOf(experiment, config)),
      ...own.filter(isOfEveryCell),
    );
  else faults.push(...own);
  faults.push(...(await textFaults(reading, model, config, directory, purpose)));
  faults.push(...(await taskFaults(reading, directory, purpose)));
  return { faults, config };
}

/** Rows and bits set the other parts anew. */
function isOfEveryCell({ severity, path }: Unplaced): boolean {
  return severity === 'warning' && (path[0] === 'calibration' || path[0] === 'evaluation');
}

/** Why an experiment cannot be computed with a model, whatever its text is. */
export function errorsOf(experiment: Experiment, config: ModelConfig): readonly Unplaced[] {
  const purpose = hasLearnedRotation(experiment.rotation) ? 'optimize' : 'evaluate';
  const reading = { ask: <T>(read: (known: Experiment) => T) => read(experiment), isWritten: () => true };
  return rulesOf(reading, config, purpose)
    .flatMap((rule) => rule(experiment))
    .filter(({ severity }) => severity === 'error');
}

const SIZES_DENIED: readonly string[] = ['model/tensor-shape', 'model/layers'];

function warningOf(warning: Checkpoint['warnings'][number]): Unplaced {
  return { severity: 'warning', ...warning, path: ['model'] };
}

function rulesOf(reading: Pick<Reading, 'ask' | 'isWritten'>, config: ModelConfig, purpose: Purpose): Rule[] {
  const { ask } = reading;
  const tasks = purpose === 'inspect' ? 0 : (ask(({ evaluation }) => evaluation.perplexity.length) ?? 0);
  return [
    ...(['r1', 'r2', 'r3', 'r4'] as const).map((name) => hadamardRule(name, config)),
    headsRule(config),
    weightGroupRule(config, ask),
    activationGroupRule(config, ask),
    layersRule(config),
    memoryRule(config, purpose),
    ...(purpose === 'inspect' ? [] : [trainingRule(config)]),
    ...(readsCalibration(ask, purpose) || ask((experiment) => trainingOf(experiment) !== null)
      ? [lengthRule(reading, ['calibration'], ({ calibration }) => calibration.sequenceLength, config)]
      : []),
    ...Array.from({ length: tasks }, (_, index) =>
      lengthRule(
        reading,
        ['evaluation', 'perplexity', index],
        ({ evaluation }) => evaluation.perplexity[index]!.sequenceLength,
        config,
      ),
    ),
  ];
}

/** Exceptions of layers that the model does not have. */
function layersRule({ layers }: ModelConfig): Rule {
  return ({ quantization }) =>
    (quantization.exceptions ?? []).flatMap((exception, index) => {
      const highest = Math.max(lastLayer(exception) ?? 0, (worstLayers(exception) ?? 1) - 1);
      if (highest < layers) return [];
      const path = ['quantization', 'exceptions', index, 'layers'];
      return [
        {
          severity: 'error',
          code: 'quantization/exception-layers',
          message: `${formatPath(path)}: the model has ${layers} layers, 0 to ${layers - 1}.`,
          hint: 'Name layers of the model, counted from 0.',
          path,
        },
      ];
    });
}

/** A memoryLimit that not even one sequence at a time fits into. */
function memoryRule(config: ModelConfig, purpose: Purpose): Rule {
  return (experiment) => {
    const faults: Unplaced[] = [];
    for (const network of networksOf(experiment, purpose))
      attempt(faults, () => networkMemory(experiment, config, network.mode, network.purpose));
    return faults.slice(0, 1).map((fault) => ({ ...fault, path: ['memoryLimit'] }));
  };
}

/** Weights that cannot be trained in the memory that there is. */
function trainingRule(config: ModelConfig): Rule {
  return (experiment) => {
    if (trainingOf(experiment) === null) return [];
    const faults: Unplaced[] = [];
    attempt(faults, () => trainingMemory(experiment, config));
    const path = experiment.memoryLimit === null ? ['training', 'method'] : ['memoryLimit'];
    return faults.map((fault) => ({ ...fault, path }));
  };
}

type Rule = (experiment: Experiment) => Unplaced[];

function attempt<T>(faults: Unplaced[], read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    faults.push(faultOf(error));
    return null;
  }
}

/** @throws anything that is not a fault of the person's. */
function faultOf(error: unknown): Unplaced {
  if (!(error instanceof UserError)) throw error;
  return { severity: 'error', code: error.code, message: error.message, hint: error.hint, path: ['model'] };
}

/** A width that no Hadamard matrix serves as a whole, for a rotation that needs one. */
function hadamardRule(name: 'r1' | 'r2' | 'r3' | 'r4', config: ModelConfig): Rule {
  const width = {
    r1: config.hiddenSize,
    r2: config.headDim,
    r3: config.headDim,
    r4: config.intermediateSize,
  };
  return (experiment) => {
    // Blocks that are asked for are no surprise.
    if (name === 'r4' && experiment.rotation.r4Blocks === 'power-of-two') return [];
    const plan = planHadamard(width[name]);
    if (plan.kind !== 'block-diagonal' || !isHadamard(name, experiment)) return [];
    return [blockFault(name, experiment.rotation[name], plan)];
  };
}

function isHadamard(name: 'r1' | 'r2' | 'r3' | 'r4', { rotation, quantization }: Experiment): boolean {
  const kind = rotation[name];
  if (kind === 'learned') return rotation.start === 'hadamard';
  if (name === 'r3') return kind === true && quantization.keys.bits < 16;
  return kind === 'hadamard' || kind === true;
}

function blockFault(name: string, kind: boolean | string, plan: HadamardPlan): Unplaced {
  const free = typeof kind === 'string';
  const place = kind === 'learned' ? 'start' : name;
  return {
    severity: 'warning',
    code: 'rotation/block-hadamard',
    path: ['rotation', name],
    message: `rotation.${name}: ${plan.statement}.`,
    hint: free
      ? 'A "random" rotation (or start) mixes all channels; a learned one leaves its blocks while it learns.'
      : 'Outliers spread only inside a block; nothing else needs to change.',
    ...(free && { suggestion: { path: ['rotation', place], value: 'random' } }),
  };
}

/** A number of heads that no Hadamard matrix serves, where heads are to be mixed. */
function headsRule({ heads }: ModelConfig): Rule {
  return ({ rotation }) => {
    const faults: Unplaced[] = [];
    if (rotation.acrossHeads) attempt(faults, () => planAcrossHeads(heads));
    const path = ['rotation', 'acrossHeads'];
    return faults.map((fault) => ({ ...fault, path, suggestion: { path, value: false } }));
  };
}

function lengthRule(
  { isWritten }: Pick<Reading, 'isWritten'>,
  section: readonly (string | number)[],
  read: (experiment: Experiment) => number,
  config: ModelConfig,
): Rule {
  const path = [...section, 'sequenceLength'];
  return (experiment) => {
    const length = read(experiment);
    if (length <= config.maxPositions) return [];
    return [
      {
        severity: 'warning',
        code: 'model/positions',
        path,
        message: `${formatPath(path)}: ${length} tokens${isWritten(path) ? '' : ', the default,'} are more than the ${config.maxPositions} positions that this model was made for.`,
        hint: `Use ${config.maxPositions} or fewer: beyond, perplexity says little about quantization.`,
        suggestion: { path, value: config.maxPositions },
      },
    ];
  };
}

/** Groups of weights that do not divide the model's widths, where weights are rounded. */
function weightGroupRule(config: ModelConfig, ask: Reading['ask']): Rule {
  if (ask(({ quantization }) => quantization.weights.bits) === 16) return () => [];
  return ({ quantization: { weights } }) =>
    groupFaults(['quantization', 'weights', 'groupSize'], () => weightGroup(weights.groupSize, config));
}

/** The same of activations, also where exceptions have groups of their own. */
function activationGroupRule(config: ModelConfig, ask: Reading['ask']): Rule {
  if (ask(({ quantization }) => quantization.activations.bits) === 16) return () => [];
  return ({ quantization: { activations, exceptions = [] }, rotation }) => {
    const faultsAt = (path: JsonPath, groupSize: number | null, sites: readonly Site[]): Unplaced[] =>
      groupFaults(path, () => expectActivationGroups(groupSize, sites, rotation, config, formatPath(path)));
    const own = exceptions.flatMap((exception, index) => {
      const path = ['quantization', 'exceptions', index, 'activations', 'groupSize'];
      return faultsAt(
        path,
        exception.activations?.groupSize ?? null,
        sitesOf(exception).map((site) => INPUT_OF_SITE[site]),
      );
    });
    const all = Object.values(INPUT_OF_SITE);
    return [...faultsAt(['quantization', 'activations', 'groupSize'], activations.groupSize, all), ...own];
  };
}

function groupFaults(path: JsonPath, check: () => unknown): Unplaced[] {
  const faults: Unplaced[] = [];
  attempt(faults, check);
  return faults.map((fault) => ({ ...fault, path, suggestion: { path, value: null } }));
}
