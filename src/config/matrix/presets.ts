/** Tables and figures of the SpinQuant paper, as matrices. */
import type { Rotation } from '../schema-rotation.ts';
import type { RowSettings } from './rows.ts';

export const PRESET_NAMES = [
  'table1',
  'table2',
  'table4',
  'table5',
  'ablation',
  'figure3',
  'figure4',
] as const;
export type MatrixPreset = (typeof PRESET_NAMES)[number];

interface OwnRow {
  readonly name: string;
  readonly title?: string | undefined;
  readonly like?: string | undefined;
  readonly settings?: RowSettings | undefined;
}

export interface MatrixShape {
  readonly bits: readonly string[];
  readonly methods: readonly string[];
  readonly seeds: readonly number[];
  readonly rows: readonly OwnRow[];
  readonly statistics: boolean;
}

const ONE_SEED = { seeds: [0], rows: [], statistics: false } as const;
const THREE_SEEDS = { seeds: [0, 1, 2], rows: [], statistics: false } as const;

/** Rows with every set of rotations that the paper's ablation knows; RTN shows each by itself. */
const ABLATION = [
  ['r1', 'R1', {}],
  ['r1-r2', 'R1 R2', { r2: 'hadamard' }],
  ['r1-r2-r3', 'R1 R2 R3', { r2: 'hadamard', r3: true }],
  ['r1-r2-r4', 'R1 R2 R4', { r2: 'hadamard', r4: true }],
  ['r1-r2-r3-r4', 'R1 R2 R3 R4', { r2: 'hadamard', r3: true, r4: true }],
  ['r4', 'R4', { r1: 'none', r4: true }],
] as const satisfies readonly (readonly [string, string, Partial<Rotation>])[];

export const MATRIX_PRESETS: Readonly<Record<MatrixPreset, MatrixShape>> = {
  table1: {
    ...ONE_SEED,
    bits: ['4-16-16', '4-8-16', '4-8-8', '4-4-16', '4-4-4'],
    methods: [
      ...['rtn', 'smoothquant', 'llm-qat', 'awq', 'omniquant', 'quip', 'gptq', 'quarot-rtn', 'quarot-gptq'],
      ...['spinquant-nohad-gptq', 'spinquant-had-rtn', 'spinquant-had-gptq', 'peak-gptq'],
    ],
  },
  table2: {
    ...ONE_SEED,
    bits: ['4-4-16', '4-4-4'],
    methods: ['hadamard-nohad-gptq', 'spinquant-nohad-gptq', 'hadamard-had-gptq', 'spinquant-had-gptq'],
  },
  table4: {
    ...THREE_SEEDS,
    bits: ['4-16-16', '4-4-16', '4-4-4'],
    methods: ['random-had-rtn', 'hadamard-had-rtn', 'spinquant-random-start-rtn', 'spinquant-had-rtn'],
  },
  table5: {
    ...ONE_SEED,
    bits: ['4-4-16', '4-4-4'],
    methods: ['quarot-rtn', 'spinquant-had-rtn', 'quarot-gptq', 'spinquant-had-gptq'],
  },
  ablation: {
    ...THREE_SEEDS,
    bits: ['4-4-4'],
    methods: ['rtn', ...ABLATION.map(([name]) => name)],
    rows: ABLATION.map(([name, title, rotation]) => ({
      name,
      title: `${title} (random Hadamard) + RTN`,
      like: 'rtn',
      settings: { rotation: { r1: 'hadamard', ...rotation } },
    })),
  },
  figure3: { ...ONE_SEED, bits: ['4-4-4'], methods: ['rtn', 'spinquant-had-rtn'], statistics: true },
  figure4: {
    ...ONE_SEED,
    bits: ['4-4-4'],
    methods: ['random-had-rtn', 'hadamard-had-rtn', 'spinquant-had-rtn'],
    seeds: Array.from({ length: 20 }, (_, seed) => seed),
  },
};
