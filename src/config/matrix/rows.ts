/** The rows that a table can have. Each is a patch of an experiment's settings; bits and seed come from the table. */
import type { ExperimentInput } from '../schema.ts';

/** Settings that a row may set. */
export type RowSettings = Pick<ExperimentInput, 'calibration' | 'quantization' | 'rotation' | 'scaling'>;

export interface Row {
  readonly name: string;
  /** The name in tables and panels. */
  readonly title: string;
  readonly settings: RowSettings;
}

type Rotation = NonNullable<ExperimentInput['rotation']>;
type Rounding = NonNullable<NonNullable<ExperimentInput['quantization']>['weights']>['method'];

const NO_ROTATION: Rotation = { r1: 'none', r2: 'none', r3: false, r4: false };
const CROSS_ENTROPY: Rotation['learning'] = { objective: 'cross-entropy' };
const PEAK: Rotation['learning'] = { objective: 'peak' };

function rotated(kind: 'hadamard' | 'random' | 'learned', online: boolean): Rotation {
  return { r1: kind, r2: kind, r3: online, r4: online };
}

function learned(online: boolean, learning: Rotation['learning'], start?: Rotation['start']): Rotation {
  return { ...rotated('learned', online), ...(start && { start }), learning };
}

function row(name: string, title: string, rotation: Rotation, method: Rounding): Row {
  return {
    name,
    title,
    settings: { rotation, scaling: { method: 'none' }, quantization: { weights: { method } } },
  };
}

/** The row of the network as it is: it stands in every table. */
export const FULL_PRECISION_ROW: Row = row('fp', 'Floating point', NO_ROTATION, 'rtn');

/** In the order of the paper's tables. */
export const ROWS: readonly Row[] = [
  row('rtn', 'RTN', NO_ROTATION, 'rtn'),
  {
    name: 'smoothquant',
    title: 'SmoothQuant',
    settings: {
      rotation: NO_ROTATION,
      scaling: { method: 'smoothquant' },
      quantization: { weights: { method: 'rtn' } },
    },
  },
  row('gptq', 'GPTQ', NO_ROTATION, 'gptq'),
  row('random-nohad-rtn', 'Random rotation R1 R2 + RTN', rotated('random', false), 'rtn'),
  row('random-nohad-gptq', 'Random rotation R1 R2 + GPTQ', rotated('random', false), 'gptq'),
  row('random-had-rtn', 'Random rotation + RTN', rotated('random', true), 'rtn'),
  row('random-had-gptq', 'Random rotation + GPTQ', rotated('random', true), 'gptq'),
  row('hadamard-nohad-rtn', 'Random Hadamard R1 R2 + RTN', rotated('hadamard', false), 'rtn'),
  row('hadamard-nohad-gptq', 'Random Hadamard R1 R2 + GPTQ', rotated('hadamard', false), 'gptq'),
  row('hadamard-had-rtn', 'Random Hadamard R1–R4 + RTN', rotated('hadamard', true), 'rtn'),
  row('hadamard-had-gptq', 'Random Hadamard R1–R4 + GPTQ', rotated('hadamard', true), 'gptq'),
  row('spinquant-nohad-rtn', 'SpinQuant no had + RTN', learned(false, CROSS_ENTROPY), 'rtn'),
  row('spinquant-nohad-gptq', 'SpinQuant no had + GPTQ', learned(false, CROSS_ENTROPY), 'gptq'),
  row('spinquant-had-rtn', 'SpinQuant had + RTN', learned(true, CROSS_ENTROPY), 'rtn'),
  row('spinquant-had-gptq', 'SpinQuant had + GPTQ', learned(true, CROSS_ENTROPY), 'gptq'),
  row(
    'spinquant-random-start-rtn',
    'SpinQuant had, random start + RTN',
    learned(true, CROSS_ENTROPY, 'random'),
    'rtn',
  ),
  row('peak-nohad-gptq', 'Captured activations (peak), no had + GPTQ', learned(false, PEAK), 'gptq'),
  row('peak-rtn', 'Captured activations (peak) + RTN', learned(true, PEAK), 'rtn'),
  row('peak-gptq', 'Captured activations (peak) + GPTQ', learned(true, PEAK), 'gptq'),
];
