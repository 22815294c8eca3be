/** Faults of a matrix. What one cell cannot express leaves that cell empty, and the others alone. */
import { hasLearnedRotation } from '../derived.ts';
import { formatPath, type JsonPath, type RuleFault } from '../faults.ts';
import { nearestName } from '../nearest.ts';
import type { Experiment } from '../schema.ts';
import type { Matrix } from '../schema-matrix.ts';
import { validateTogether } from '../validate-together.ts';
import { parseBits } from './bits.ts';
import { type Cell, cellsOf, matrixShape, rowNames } from './expand.ts';
import { ROWS } from './rows.ts';

/**
 * @param written the values of the text; null while some of them are at fault, so that cells cannot be made.
 */
export function matrixFaults(experiment: Experiment, written: unknown): RuleFault[] {
  const { matrix } = experiment;
  if (!matrix) return [];
  const faults = [...emptyFaults(experiment, matrix), ...nameFaults(matrix), ...bitsFaults(matrix)];
  if (written === null || faults.some(({ severity }) => severity === 'error')) return faults;
  return [...faults, ...cellFaults(cellsOf(written, matrix), faultsOfCell)];
}

/** The fault for which a cell stays empty; null where it can be computed. */
export function faultsOfCell({ experiment }: Cell): RuleFault[] {
  const purpose = hasLearnedRotation(experiment.rotation) ? 'optimize' : 'evaluate';
  return validateTogether(experiment, purpose).filter(({ severity }) => severity === 'error');
}

/** One warning for each row and reason, at the row, with the bits that it concerns; an error where no cell is left. */
export function cellFaults<F extends Pick<RuleFault, 'message' | 'hint'>>(
  cells: readonly Cell[],
  faultsOf: (cell: Cell) => readonly F[],
): RuleFault[] {
  const found = new Map<string, { readonly cell: Cell; readonly fault: F; readonly bits: Set<string> }>();
  let sound = 0;
  for (const cell of cells) {
    const [fault] = faultsOf(cell);
    if (!fault) {
      if (cell.path.length > 1) sound++;
      continue;
    }
    const key = JSON.stringify([cell.method, fault.message]);
    const entry = found.get(key) ?? { cell, fault, bits: new Set<string>() };
    found.set(key, entry);
    entry.bits.add(cell.bits);
  }
  return [...found.values()].map(({ cell, fault, bits }) => ({
    severity: sound > 0 ? 'warning' : 'error',
    code: 'config/empty-cell',
    path: cell.path,
    message: `${formatPath(cell.path)}: ${cell.title} stays empty at ${[...bits].join(', ')}: ${fault.message}`,
    hint: fault.hint,
  }));
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
  const nearest = nearestName(name, names);
  return [
    error(
      'config/unknown-row',
      path,
      `there is no row "${name}".`,
      nearest
        ? `Did you mean "${nearest}"? Known are ${names.join(', ')}.`
        : `Known are ${names.join(', ')}.`,
    ),
  ];
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
