/** The rows that a table can have. Each is a patch of an experiment's settings; bits and seed come from the table. */
import type { ExperimentInput } from '../schema.ts';

/** Settings that a row may set. */
export type RowSettings = Pick<ExperimentInput, 'quantization' | 'rotation' | 'scaling' | 'training'>;

export interface Row {
  readonly name: string;
  /** The name in tables and panels. */
  readonly title: string;
  readonly settings: RowSettings;
}

type Rotation = NonNullable<ExperimentInput['rotation']>;
type Rounding = NonNullable<NonNullable<ExperimentInput['quantization']>['weights']>['method'];

const NO_ROTATION: Rotation = {
  ...{ r1: 'none', r2: 'none', r3: false, r4: false },
  ...{ acrossHeads: false, r2Per: 'layer' },
};
const CROSS_ENTROPY: Rotation['learning'] = { objective: 'cross-entropy' };
const PEAK: Rotation['learning'] = { objective: 'peak' };

function rotated(kind: 'hadamard' | 'random' | 'learned', online: boolean): Rotation {
  return { r1: kind, r2: kind, r3: online, r4: online, acrossHeads: false };
}

const QUAROT: Rotation = { ...rotated('hadamard', true), acrossHeads: true, r2Per: 'layer' };

function learned(online: boolean, learning: Rotation['learning'], start?: Rotation['start']): Rotation {
  return { ...rotated('learned', online), ...(start && { start }), learning };
}

interface Methods {
  readonly training?: NonNullable<ExperimentInput['training']>['method'];
  readonly scaling?: NonNullable<ExperimentInput['scaling']>['method'];
  readonly rounding: Rounding;
}

/** A row sets every method, so that those of the experiment do not act in it. */
function row(name: string, title: string, rotation: Rotation, methods: Methods): Row {
  const { training = 'none', scaling = 'none', rounding } = methods;
  const settings = {
    rotation,
    training: { method: training },
    scaling: { method: scaling },
    quantization: { weights: { method: rounding } },
  };
  return { name, title, settings };
}

const RTN: Methods = { rounding: 'rtn' };
const GPTQ: Methods = { rounding: 'gptq' };

/** The row of the network as it is: it stands in every table. */
export const FULL_PRECISION_ROW: Row = row('fp', 'Floating point', NO_ROTATION, RTN);

/** The least perplexity that costs nothing at run time but a row of keys for each position (docs/quality.md). */
const BEST_ROW: Row = {
  name: 'best',
  title: 'Captured activations (peak), best',
  settings: {
    ...row('best', '', learned(true, PEAK), { ...GPTQ, scaling: 'balance' }).settings,
    quantization: {
      weights: { method: 'gptq', gptq: { inputs: 'quantized', target: 'residual', damping: 0.3 } },
      activations: { clipRatio: 'searched' },
      keys: { offset: 'mean', clipRatio: 'searched' },
      values: { clipRatio: 'searched' },
    },
  },
};

/** In the order of the paper's tables. */
export const ROWS: readonly Row[] = [
  row('rtn', 'RTN', NO_ROTATION, RTN),
  row('smoothquant', 'SmoothQuant', NO_ROTATION, { scaling: 'smoothquant', rounding: 'rtn' }),
  row('llm-qat', 'LLM-QAT', NO_ROTATION, { training: 'llm-qat', rounding: 'rtn' }),
  row('awq', 'AWQ', NO_ROTATION, { scaling: 'awq', rounding: 'awq-clip' }),
  row('omniquant', 'OmniQuant', NO_ROTATION, { rounding: 'omniquant' }),
  row('quip', 'QuIP#', NO_ROTATION, { rounding: 'quip' }),
  row('gptq', 'GPTQ', NO_ROTATION, GPTQ),
  row('quarot-rtn', 'QuaRot + RTN', QUAROT, RTN),
  row('quarot-gptq', 'QuaRot + GPTQ', QUAROT, GPTQ),
  row('random-nohad-rtn', 'Random rotation R1 R2 + RTN', rotated('random', false), RTN),
  row('random-nohad-gptq', 'Random rotation R1 R2 + GPTQ', rotated('random', false), GPTQ),
  row('random-had-rtn', 'Random rotation + RTN', rotated('random', true), RTN),
  row('random-had-gptq', 'Random rotation + GPTQ', rotated('random', true), GPTQ),
  row('hadamard-nohad-rtn', 'Random Hadamard R1 R2 + RTN', rotated('hadamard', false), RTN),
  row('hadamard-nohad-gptq', 'Random Hadamard R1 R2 + GPTQ', rotated('hadamard', false), GPTQ),
  row('hadamard-had-rtn', 'Random Hadamard R1–R4 + RTN', rotated('hadamard', true), RTN),
  row('hadamard-had-gptq', 'Random Hadamard R1–R4 + GPTQ', rotated('hadamard', true), GPTQ),
  row('spinquant-nohad-rtn', 'SpinQuant no had + RTN', learned(false, CROSS_ENTROPY), RTN),
  row('spinquant-nohad-gptq', 'SpinQuant no had + GPTQ', learned(false, CROSS_ENTROPY), GPTQ),
  row('spinquant-had-rtn', 'SpinQuant had + RTN', learned(true, CROSS_ENTROPY), RTN),
  row('spinquant-had-gptq', 'SpinQuant had + GPTQ', learned(true, CROSS_ENTROPY), GPTQ),
  row(
    'spinquant-random-start-rtn',
    'SpinQuant had, random start + RTN',
    learned(true, CROSS_ENTROPY, 'random'),
    RTN,
  ),
  row('peak-nohad-gptq', 'Captured activations (peak), no had + GPTQ', learned(false, PEAK), GPTQ),
  row('peak-rtn', 'Captured activations (peak) + RTN', learned(true, PEAK), RTN),
  row('peak-gptq', 'Captured activations (peak) + GPTQ', learned(true, PEAK), GPTQ),
  BEST_ROW,
];
