import { type Node, type ParseError, parseTree } from 'jsonc-parser';
import {
  type Fault,
  formatPath,
  type JsonPath,
  LineIndex,
  type RuleFault,
  type TextRange,
  uniqueFaults,
} from './faults.ts';
import { allowedValues, experimentJsonSchema, type JsonSchema, schemaAt } from './json-schema.ts';
import { matrixFaults } from './matrix/faults.ts';
import { type Pick, Values } from './read-values.ts';
import type { Experiment } from './schema.ts';
import { SoundParts } from './sound-parts.ts';
import { depthFault, isInsideValue, leavesRestAlone, syntaxFault } from './syntax.ts';
import { nearestTask } from './tasks/index.ts';
import { fillsMatrix, type Purpose, rulesFor } from './validate-together.ts';

/** An experiment that may have faults. Rules read its sound parts, and their faults find their place in the text. */
export interface Reading {
  /** Returns the result of `read`; undefined when it needs a value at fault or missing. Paths are as written. */
  readonly ask: <T>(read: (experiment: Experiment) => T) => T | undefined;
  /** Adds a fault's range. Its path becomes the path in the text, which differs for a misspelt or misplaced key. */
  readonly place: <F extends RuleFault>(fault: F) => F & Fault;
  /** True where the text has a value at the path; false where a default stands for it. */
  readonly isWritten: (path: JsonPath) => boolean;
}

export interface ParsedExperiment {
  readonly file: string;
  /** Null when the text does not fit the schema. Paths in it are as written. */
  readonly experiment: Experiment | null;
  /** The values as the text has them, with only the keys that the schema knows; defaults are not filled in. */
  readonly written: unknown;
  /** Every error and warning, in the order of the text. */
  readonly faults: readonly Fault[];
  /** The readings in spite of faults: none for an empty text, two where a key is written twice. */
  readonly readings: readonly Reading[];
  /** Returns the range of the value at a path, or of the nearest value around it in the text. */
  rangeAt(path: JsonPath): TextRange;
}

/**
 * Reads the text of an experiment file: JSON with comments and trailing commas.
 * It never throws on a person's text: every fault is in `faults`, with its JSON path and its range in the text. One
 * fault does not hide another: rules between keys read all values that are sound.
 * @param file its path, only carried along.
 * @param purpose the use of the experiment; some rules hold for one use only. See {@link rulesFor}.
 */
export function parseExperiment(text: string, file: string, purpose: Purpose = 'edit'): ParsedExperiment {
  // A byte order mark is not JSON; a space in its place keeps the offsets.
  const json = text.startsWith('\uFEFF') ? ` ${text.slice(1)}` : text;
  const lines = new LineIndex(text);
  const unread = (faults: readonly Fault[]): ParsedExperiment => ({
    file,
    experiment: null,
    written: null,
    faults,
    readings: [],
    rangeAt: () => lines.range(0, 0),
  });
  const tooDeep = depthFault(json, lines);
  if (tooDeep !== null) return unread([tooDeep]);
  const syntaxErrors: ParseError[] = [];
  const tree = parseTree(json, syntaxErrors, { allowTrailingComma: true });
  const syntaxFaults = syntaxErrors.map((error) => syntaxFault(error, lines));
  if (!tree) return unread(syntaxFaults);
  const first = new ReadText(tree, 'first', syntaxErrors, lines);
  const readings = first.writtenTwice ? [first, new ReadText(tree, 'last', syntaxErrors, lines)] : [first];
  const faults = [...syntaxFaults, ...readings.flatMap((reading) => reading.faults(purpose))];
  return {
    file,
    experiment:
      syntaxErrors.length === 0 && first.whole ? (first.ask((experiment) => experiment) ?? null) : null,
    written: first.written,
    faults: uniqueFaults(faults),
    readings,
    rangeAt: (path) => first.rangeAt(path),
  };
}

/** One reading of a text. Where a key is written twice, one of its values counts. */
class ReadText implements Reading {
  readonly #values: Values;
  readonly #sound: SoundParts;
  readonly #lines: LineIndex;
  readonly #tree: Node;
  readonly #isGuess: boolean;

  constructor(tree: Node, pick: Pick, syntaxErrors: readonly ParseError[], lines: LineIndex) {
    this.#tree = tree;
    this.#lines = lines;
    this.#values = new Values(tree, pick);
    this.#isGuess = !syntaxErrors.every(leavesRestAlone);
    const unsure = [...brokenValues(this.#values, syntaxErrors)];
    // After some syntax errors, the text may hold keys that the tree lacks.
    if (this.#isGuess) unsure.push(...absentPaths(this.#values));
    this.#sound = new SoundParts(this.#values.root, unsure);
  }

  get writtenTwice(): boolean {
    return this.#values.faults.some(({ code }) => code === 'config/duplicate-key');
  }

  /** True where this reading holds the whole text and nothing is at fault. */
  get whole(): boolean {
    return this.#sound.whole && this.#values.faults.every(({ code }) => code === 'config/duplicate-key');
  }

  get written(): unknown {
    return this.#values.root;
  }

  readonly ask: Reading['ask'] = (read) => this.#sound.ask(read);

  readonly place: Reading['place'] = (fault) => ({
    ...fault,
    path: this.#values.writtenPath(fault.path),
    range: this.rangeAt(fault.path),
  });

  readonly isWritten: Reading['isWritten'] = (path) => this.#values.nodeAt(path) !== undefined;

  faults(purpose: Purpose): Fault[] {
    const keys = this.#values.faults.map(({ node, ...fault }) => ({
      ...fault,
      range: this.#lines.range(node.offset, node.length),
    }));
    const values = this.#sound.atFault
      .map((path) => ({ path, node: this.#values.nodeAt(path) }))
      .filter(({ node }) => node !== undefined || !this.#isGuess)
      .map(({ path, node }) => this.place(valueFault(path, node)));
    const rules =
      fillsMatrix(purpose) && this.isWritten(['matrix']) ? this.#ofMatrix() : this.#ofRules(purpose);
    return [...keys, ...values, ...rules.map((fault) => this.place(fault))];
  }

  #ofRules(purpose: Purpose): RuleFault[] {
    const texts = this.ask(({ evaluation }) => evaluation.perplexity.length) ?? 0;
    const tasks = this.ask(({ evaluation }) => evaluation.tasks.length) ?? 0;
    return rulesFor(texts, tasks).flatMap((rule) => this.ask((known) => rule(known, purpose)) ?? []);
  }

  /** The experiment of a matrix is not run as it is written: its cells are. */
  #ofMatrix(): RuleFault[] {
    const written = this.whole ? this.written : null;
    return this.ask((known) => matrixFaults(known, written)) ?? [];
  }

  rangeAt(path: JsonPath): TextRange {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = this.#values.nodeAt(path.slice(0, depth));
      if (!node) continue;
      // For a missing key, the range is the opening brace of the object that lacks it.
      const isAround = depth < path.length && node.type === 'object';
      return this.#lines.range(node.offset, isAround ? 1 : node.length);
    }
    return this.#lines.range(this.#tree.offset, 1);
  }
}

/** Yields the paths of values that a syntax error overlaps. */
function* brokenValues(values: Values, errors: readonly ParseError[]): Generator<JsonPath> {
  const inside = errors.filter(isInsideValue);
  if (inside.length === 0) return;
  for (const [path, node] of values.all())
    if (!node.children && inside.some((error) => overlaps(node, error))) yield path;
}

function overlaps(a: { offset: number; length: number }, b: { offset: number; length: number }): boolean {
  return a.offset <= b.offset + b.length && b.offset <= a.offset + a.length;
}

/** Yields the outermost keys of the schema that are absent in the text. */
function* absentPaths(
  values: Values,
  schema: JsonSchema = experimentJsonSchema(),
  path: JsonPath = [],
): Generator<JsonPath> {
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    const inside = [...path, name];
    if (values.nodeAt(inside)) yield* absentPaths(values, child, inside);
    else yield inside;
  }
}

function valueFault(path: JsonPath, node: Node | undefined): RuleFault {
  const schema = schemaAt(path);
  const allowed = schema ? allowedValues(schema) : 'nothing';
  const key = formatPath(path);
  if (!node)
    return {
      severity: 'error',
      code: 'config/missing-key',
      path,
      message: `${key} is missing; it must be ${allowed}.`,
      hint: schema?.description ?? '',
    };
  const meant = nearestTask(path, node.value);
  return {
    severity: 'error',
    code: 'config/invalid-value',
    path,
    message: `${key} is ${foundText(node)}; allowed: ${allowed}.${meant === null ? '' : ` Did you mean "${meant}"?`}`,
    hint: schema?.description ?? '',
  };
}

function foundText(node: Node): string {
  if (node.type === 'object') return 'an object { … }';
  if (node.type === 'array') return 'a list [ … ]';
  const text = JSON.stringify(node.value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}
