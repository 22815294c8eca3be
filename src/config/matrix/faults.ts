/** Faults of a matrix. */
import { formatPath, type JsonPath, type RuleFault } from '../faults.ts';
import { nearestNames } from '../nearest.ts';
import type { Experiment } from '../schema.ts';
import type { Matrix } from '../schema-matrix.ts';
import { parseBits } from './bits.ts';
import { cellFaults, faultsOfCell } from './empty-cells.ts';
import { cellsOf, matrixShape, rowNames } from './expand.ts';
import { ROWS } from './rows.ts';

/**
 * @param written the values of the text; null while some of them are at fault, so that cells cannot be made.
 */
export function matrixFaults(experiment: Experiment, written: unknown): RuleFault[] {
  const { matrix } = experiment;
  if (!matrix) return [];
  const faults = [...emptyFaults(experiment, matrix), ...nameFaults(matrix), ...bitsFaults(matrix)];
  if (written === null || faults.some(({ severity }) => severity === 'error')) return faults;
  return [...faults, ...cellFaults(cellsOf(written, matrix), written, faultsOfCell)];
}

function emptyFaults({ evaluation }: Experiment, matrix: Matrix): RuleFault[] {
  const { bits, methods } = matrixShape(matrix);
  const missing = [...(bits.length === 0 ? ['bits'] : []), ...(methods.length === 0 ? ['methods'] : [])];
  const faults = missing.map((key) =>
    error(
      'config/empty-matrix',
      ['matrix', key],
      'is empty, so the table has no cells.',
      key === 'bits'
        ? 'Name settings such as ["4-4-4"], or a preset.'
        : 'Name rows such as ["rtn", "gptq"], or a preset.',
    ),
  );
  if (evaluation.perplexity.length > 0 || evaluation.tasks.length > 0) return faults;
  return [
    ...faults,
    error(
      'config/no-evaluation',
      ['evaluation', 'perplexity'],
      'there is nothing to fill the table with.',
      'Add { "name": "wikitext2", "text": "path/to/test.txt" } to evaluation.perplexity, or evaluation.tasks.',
    ),
  ];
}

function nameFaults(matrix: Matrix): RuleFault[] {
  const names = rowNames(matrix);
  const own = matrix.rows.map(({ name }) => name);
  return [
    ...matrix.methods.flatMap((name, index) => unknownName(name, names, ['matrix', 'methods', index])),
    ...matrix.rows.flatMap(({ like }, index) =>
      unknownName(
        like,
        ROWS.map((row) => row.name),
        ['matrix', 'rows', index, 'like'],
      ),
    ),
    ...own.flatMap((name, index) =>
      names.indexOf(name) < names.lastIndexOf(name) ? twice(name, index) : [],
    ),
    ...unlisted(matrix),
    ...repeated(matrix.methods, 'methods'),
    ...repeated(matrix.bits, 'bits'),
  ];
}

/** Rows of the file's own that its table does not have. */
function unlisted(matrix: Matrix): RuleFault[] {
  const { methods } = matrixShape(matrix);
  return matrix.rows.flatMap(({ name }, index) => {
    if (methods.includes(name) || ROWS.some((row) => row.name === name)) return [];
    const path = ['matrix', 'rows', index, 'name'];
    const message = `the table leaves "${name}" out: matrix.methods does not name it.`;
    return [
      {
        ...error('config/unlisted-row', path, message, `Add "${name}" to matrix.methods.`),
        severity: 'warning',
      },
    ];
  });
}

function unknownName(name: string, names: readonly string[], path: JsonPath): RuleFault[] {
  if (names.includes(name)) return [];
  const nearest = nearestNames(name, names).map((one) => `"${one}"`);
  const last = nearest.pop();
  const meant = nearest.length === 0 ? last : `${nearest.join(', ')} or ${last}`;
  const asked = last === undefined ? '' : `Did you mean ${meant}? `;
  const list = 'Completion lists the rows, as "spinquant schema" and docs/matrix.md do.';
  return [error('config/unknown-row', path, `there is no row "${name}".`, `${asked}${list}`)];
}

function twice(name: string, index: number): RuleFault[] {
  const path = ['matrix', 'rows', index, 'name'];
  return [
    error('config/same-name', path, `"${name}" names another row, too.`, 'Give each row its own name.'),
  ];
}

function repeated(values: readonly string[], key: 'methods' | 'bits'): RuleFault[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) === index
      ? []
      : [
          error(
            'config/same-name',
            ['matrix', key, index],
            `"${value}" is listed twice.`,
            'Leave one of them out.',
          ),
        ],
  );
}

function bitsFaults({ bits }: Matrix): RuleFault[] {
  return bits.flatMap((text, index) =>
    parseBits(text)
      ? []
      : [
          error(
            'config/bits',
            ['matrix', 'bits', index],
            `"${text}" is no setting of bits.`,
            'Write weights, activations and cache as "4-8-16"; each is 2, 3, 4, 5, 6, 7, 8 or 16.',
          ),
        ],
  );
}

function error(code: string, path: JsonPath, message: string, hint: string): RuleFault {
  return { severity: 'error', code, path, message: `${formatPath(path)}: ${message}`, hint };
}
