/** Tables to start from. Knows nothing of the editor. */
import type { Matrix } from '../../config/index.ts';
import { SHAPES, type Sources, sourcesText } from './presets.ts';

/** The presets of `matrix`, after a quick look of our own. */
export type TableName = 'quick' | NonNullable<Matrix['preset']>;

export const TABLES: readonly TableName[] = [
  ...(['quick', 'table1', 'table2', 'table4', 'table5', 'ablation', 'figure3', 'figure4'] as const),
];

/** Methods that take seconds to minutes on a small model, and the order that the paper has them in. */
const QUICK = {
  bits: ['4-8-16', '4-4-4'],
  methods: ['rtn', 'gptq', 'quarot-gptq', 'peak-gptq'],
  seeds: [0],
};

/** The text of a new experiment file with a matrix. Rows bring their own rotations and methods. */
export function tableText(table: TableName, sources: Sources): string {
  const { model, calibration, evaluation } = sourcesText(
    sources,
    table === 'quick' ? SHAPES.quick : SHAPES.faithful,
  );
  return `{
  ${model},
  ${calibration},
  ${evaluation},
  "matrix": ${table === 'quick' ? quickText() : `{ "preset": ${JSON.stringify(table)} }`}
}
`;
}

function quickText(): string {
  const lines = Object.entries(QUICK).map(
    ([key, values]) => `    "${key}": [${values.map((value) => JSON.stringify(value)).join(', ')}]`,
  );
  return `{\n${lines.join(',\n')}\n  }`;
}
