/** Rules for exceptions of a quantization. */
import {
  hasLearnedRotation,
  methodsThatRead,
  quantizersReadText,
  roundingOf,
  searchesClips,
  takesKeyMeans,
  trainingOf,
} from './derived.ts';
import {
  EXCEPTION_PARTS,
  type ExceptionPart,
  isLayersText,
  isQuantized,
  LINEARS_OF_SITE,
  rangeOf,
  sitesOf,
} from './exceptions.ts';
import { formatPath, type JsonPath, type RuleFault } from './faults.ts';
import type { Experiment } from './schema.ts';
import type { Exception } from './schema-exceptions.ts';
import type { Purpose } from './validate-together.ts';

type Rule = (experiment: Experiment, purpose: Purpose) => RuleFault[];

/** One exception with its place in the file. */
interface Placed {
  readonly exception: Exception;
  readonly path: JsonPath;
}

const PATH = ['quantization', 'exceptions'] as const;
const BUDGET: JsonPath = ['quantization', 'budget'];

function placed({ quantization }: Experiment): Placed[] {
  return (quantization.exceptions ?? []).map((exception, index) => ({ exception, path: [...PATH, index] }));
}

const fault =
  (severity: RuleFault['severity']) => (code: string, path: JsonPath, message: string, hint: string) =>
    ({ severity, code, path, message: `${formatPath(path)}: ${message}`, hint }) as const;
const error = fault('error');
const warning = fault('warning');

const writtenParts = (exception: Exception): ExceptionPart[] =>
  EXCEPTION_PARTS.filter((part) => Object.values(exception[part] ?? {}).some((value) => value !== undefined));

/** An exception that says nothing of any part. */
function ofNothing(experiment: Experiment): RuleFault[] {
  return placed(experiment).flatMap(({ exception, path }) => {
    if (writtenParts(exception).length > 0) return [];
    return [
      error(
        'config/empty-exception',
        path,
        'changes nothing.',
        'Give it activations, weights, keys or values, such as "activations": { "bits": 8 }.',
      ),
    ];
  });
}

/** Layers that are no layers, and ranges that end before they begin. */
function wrongLayers(experiment: Experiment): RuleFault[] {
  return placed(experiment).flatMap(({ exception, path }) => {
    const { layers } = exception;
    if (typeof layers !== 'string') return [];
    const [first, last] = rangeOf(exception) ?? [0, 0];
    if (isLayersText(layers) && first <= last) return [];
    return [
      error(
        'config/exception-layers',
        [...path, 'layers'],
        `"${layers}" names no layers.`,
        'Write "all", a layer such as "7", a range such as "0-3", a list [0, 3], or "worst:4".',
      ),
    ];
  });
}

/** Parts that have 16 bits everywhere: what is not quantized has no exceptions. */
function ofWhatIsNotQuantized(experiment: Experiment): RuleFault[] {
  return placed(experiment).flatMap(({ exception, path }) =>
    writtenParts(exception)
      .filter((part) => experiment.quantization[part].bits >= 16)
      .map((part) =>
        warning(
          'config/unused-exception',
          [...path, part],
          `has no effect: ${part} have 16 bits everywhere.`,
          `Give quantization.${part} the fewer bits, and 16 bits to the layers that shall keep them.`,
        ),
      ),
  );
}

/** Sites where nothing of an exception has sites. */
function unusedSites(experiment: Experiment): RuleFault[] {
  return placed(experiment).flatMap(({ exception, path }) => {
    const parts = writtenParts(exception);
    const isRead = parts.length === 0 || parts.includes('activations') || parts.includes('weights');
    if (isRead || sitesOf(exception).length === Object.keys(LINEARS_OF_SITE).length) return [];
    return [
      warning(
        'config/unused-sites',
        [...path, 'sites'],
        `has no effect: ${parts.join(' and ')} are those of whole layers.`,
        'Leave it out, or give the exception activations or weights.',
      ),
    ];
  });
}

/** Groups of what has one scale per head. */
function groupsOfHeads(experiment: Experiment): RuleFault[] {
  if (experiment.rotation.acrossHeads) return [];
  return placed(experiment).flatMap(({ exception, path }) => {
    if (exception.activations?.groupSize == null || sitesOf(exception).some((site) => site !== 'o'))
      return [];
    return [
      warning(
        'config/unused-group-size',
        [...path, 'activations', 'groupSize'],
        'has no effect: the input of o_proj has one scale per head.',
        'Leave it out, or set rotation.acrossHeads to true.',
      ),
    ];
  });
}

/** Bits of weights that the method of this experiment does not write. */
function weightsOfMethod(experiment: Experiment): RuleFault[] {
  const method = roundingOf(experiment.quantization);
  if (!method) return [];
  const { title, name, bits: allowed } = method;
  return placed(experiment).flatMap(({ exception, path }) => {
    const bits = exception.weights?.bits;
    const isFine = bits === undefined || (allowed ? allowed.includes(bits) : bits < 16 || name === 'rtn');
    if (isFine) return [];
    const most = allowed ? `${allowed.join(', ')} bits` : '8 bits or fewer';
    return [
      error(
        'config/exception-bits',
        [...path, 'weights', 'bits'],
        `${title} writes codes, of ${most}, and no weights of ${bits} bits.`,
        allowed ? `Use ${most}.` : 'Use 8 bits, whose error is a sixteenth of that of 4.',
      ),
    ];
  });
}

/** Training has one quantizer for all layers. */
function inTraining(experiment: Experiment): RuleFault[] {
  const method = trainingOf(experiment);
  const { budget, exceptions = [] } = experiment.quantization;
  if (!method || (exceptions.length === 0 && budget === undefined)) return [];
  return [
    error(
      'config/exception-training',
      budget === undefined ? [...PATH] : BUDGET,
      `${method.title} trains all layers with the same quantizers.`,
      'Leave quantization.exceptions and budget out, or set training.method to "none".',
    ),
  ];
}

/** Training comes before ratios are searched. */
function clipsInTraining({ quantization, ...experiment }: Experiment): RuleFault[] {
  const method = trainingOf(experiment);
  if (!method) return [];
  const parts = (['activations', 'keys', 'values'] as const).filter(
    (part) => quantization[part].bits < 16 && typeof quantization[part].clipRatio !== 'number',
  );
  return parts.map((part) =>
    error(
      'config/clip-training',
      ['quantization', part, 'clipRatio'],
      `${method.title} trains with the ratios that are found only afterwards.`,
      'Write a number, such as 0.9, or set training.method to "none".',
    ),
  );
}

/** Exceptions that are written, beside those that are to be chosen. */
function besideBudget({ quantization }: Experiment): RuleFault[] {
  if (quantization.budget === undefined || quantization.exceptions === undefined) return [];
  return [
    error(
      'config/budget-exceptions',
      BUDGET,
      'chooses the exceptions, and quantization.exceptions names some.',
      'Leave one of the two out.',
    ),
  ];
}

/** A budget that no more than the bits as they are fits into. */
function smallBudget({ quantization }: Experiment): RuleFault[] {
  const { budget, weights, activations, keys, values } = quantization;
  const least = Math.min(keys.bits, values.bits, (weights.bits + activations.bits) / 2);
  if (budget === undefined || budget > least || !isQuantized(quantization)) return [];
  return [
    error(
      'config/small-budget',
      BUDGET,
      `is ${budget}, and what is multiplied has at least ${least} bits on average without any exception.`,
      `Allow more than ${least}, such as ${least + 0.25}.`,
    ),
  ];
}

/** Quantizers that a text decides, without one, where nothing else asks for it. */
function noText(experiment: Experiment, purpose: Purpose): RuleFault[] {
  const { calibration, quantization, rotation } = experiment;
  if (calibration.text.length > 0 || !quantizersReadText(quantization)) return [];
  const learns = hasLearnedRotation(rotation) && purpose !== 'evaluate';
  if (purpose !== 'inspect' && (learns || methodsThatRead(experiment).length > 0)) return [];
  const [what, without] = takesKeyMeans(quantization)
    ? ['the mean of the keys is taken on', 'set quantization.keys.offset to "bias"']
    : searchesClips(quantization)
      ? ['clip ratios are searched on', 'write each clipRatio as a number']
      : ['exceptions are chosen by', 'name the layers of quantization.exceptions'];
  return [
    error(
      'config/no-calibration-text',
      ['calibration', 'text'],
      `${what} a text, and there is none.`,
      `Name a text file in calibration.text, or ${without}.`,
    ),
  ];
}

export const EXCEPTION_RULES: readonly Rule[] = [
  ofNothing,
  wrongLayers,
  ofWhatIsNotQuantized,
  unusedSites,
  groupsOfHeads,
  weightsOfMethod,
  inTraining,
  clipsInTraining,
  besideBudget,
  smallBudget,
  noText,
];
