/** What one cell cannot express leaves that cell empty, and the others alone. */
import { isObject } from '../../protocol/object.ts';
import { hasLearnedRotation } from '../derived.ts';
import { formatPath, type JsonPath, type RuleFault } from '../faults.ts';
import { validateTogether } from '../validate-together.ts';
import type { Cell } from './expand.ts';

/** The fault for which a cell stays empty; null where it can be computed. */
export function faultsOfCell({ experiment }: Cell): RuleFault[] {
  const purpose = hasLearnedRotation(experiment.rotation) ? 'optimize' : 'evaluate';
  return validateTogether(experiment, purpose).filter(({ severity }) => severity === 'error');
}

type CellFault = Pick<RuleFault, 'path' | 'message' | 'hint'>;

/** A reason for which cells of rows stay empty. */
interface Reason {
  readonly fault: CellFault;
  readonly path: JsonPath;
  /** By the titles of rows. */
  readonly bits: Map<string, Set<string>>;
}

/**
 * One warning for each reason and place, with the rows and bits that it concerns; an error where no cell is left. Its
 * place is the setting at fault where the text has it, else the name of the row.
 * @param written the values of the text.
 */
export function cellFaults(
  cells: readonly Cell[],
  written: unknown,
  faultsOf: (cell: Cell) => readonly CellFault[],
): RuleFault[] {
  const found = new Map<string, Reason>();
  let sound = 0;
  for (const cell of cells) {
    const [fault] = faultsOf(cell);
    if (!fault) {
      if (cell.path.length > 1) sound++;
      continue;
    }
    const path = placeOf(cell, fault.path, written);
    const key = JSON.stringify([path, fault.message]);
    const { bits } = found.get(key) ?? { bits: new Map<string, Set<string>>() };
    bits.set(cell.title, (bits.get(cell.title) ?? new Set()).add(cell.bits));
    found.set(key, { fault, path, bits });
  }
  return [...found.values()].flatMap(({ fault, path, bits }) =>
    rowsByBits(bits).map(([settings, titles]) => ({
      severity: sound > 0 ? 'warning' : 'error',
      code: 'config/empty-cell',
      path,
      message: `${formatPath(path)}: ${titles.join(', ')} ${titles.length === 1 ? 'stays' : 'stay'} empty at ${settings}: ${fault.message}`,
      hint: fault.hint,
    })),
  );
}

/** Titles of rows by the bits at which they are empty. */
function rowsByBits(bits: Reason['bits']): [settings: string, titles: string[]][] {
  const all = [...bits].map(([title, settings]) => [title, [...settings].join(', ')] as const);
  return [...new Set(all.map(([, settings]) => settings))].map((settings) => [
    settings,
    all.filter((one) => one[1] === settings).map(([title]) => title),
  ]);
}

/** The setting at fault: the row's own, else the experiment's that the row leaves alone, else the row. */
function placeOf({ path, ownSettings, patch }: Cell, fault: JsonPath, written: unknown): JsonPath {
  // A whole section or file is no setting.
  if (fault.length < 2) return path;
  const own = ownSettings && [...ownSettings, ...fault];
  if (own && isSet(written, own)) return own;
  return isSet(written, fault) && !isSet(patch, fault) ? fault : path;
}

function isSet(value: unknown, path: JsonPath): boolean {
  let at = value;
  for (const part of path) {
    if (Array.isArray(at) && typeof part === 'number') at = at[part];
    else if (isObject(at)) at = at[String(part)];
    else return false;
  }
  return at !== undefined;
}
