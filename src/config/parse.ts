import {
  findNodeAtLocation,
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import type { z } from 'zod';
import {
  type Fault,
  formatPath,
  type JsonPath,
  LineIndex,
  type RuleFault,
  type TextRange,
} from './faults.ts';
import { allowedValues, placesOf, schemaAt } from './json-schema.ts';
import { nearestName } from './nearest.ts';
import { type Experiment, experimentSchema } from './schema.ts';
import { type Purpose, validateTogether } from './validate-together.ts';

export interface ParsedExperiment {
  readonly file: string;
  /** Null when the text does not fit the schema. Paths in it are as written. */
  readonly experiment: Experiment | null;
  /** Every error and warning, in the order of the text. */
  readonly faults: readonly Fault[];
  /** Range of the value at a path, or of the nearest thing around it that is in the text. */
  rangeAt(path: JsonPath): TextRange;
}

const SYNTAX_ERRORS: Readonly<Record<string, string>> = {
  InvalidSymbol: 'this is not JSON: a text needs double quotes',
  InvalidNumberFormat: 'this number is not written as JSON has it',
  PropertyNameExpected: 'a key in double quotes is expected here',
  ValueExpected: 'a value is expected here; the least experiment is { "model": "path/to/model" }',
  ColonExpected: 'a colon ":" is missing here',
  CommaExpected: 'a comma "," is missing here',
  CloseBraceExpected: 'a closing brace "}" is missing here',
  CloseBracketExpected: 'a closing bracket "]" is missing here',
  EndOfFileExpected: 'the experiment ended before this',
  InvalidCommentToken: 'this comment is not closed or not allowed',
  UnexpectedEndOfComment: 'a comment is not closed',
  UnexpectedEndOfString: 'a text is not closed with a double quote',
  UnexpectedEndOfNumber: 'a number ends too early',
  InvalidUnicode: 'this \\u escape is not four hexadecimal digits',
  InvalidEscapeCharacter: 'this backslash escape does not exist in JSON (write paths with / or \\\\)',
  InvalidCharacter: 'this character is not allowed here',
};

/**
 * Reads the text of an experiment file: JSON with comments and trailing commas.
 * Never throws on what a person wrote: every fault is in `faults`, with its JSON path and its range in the text.
 * @param file its path, only carried along.
 * @param purpose what the experiment is read for; some rules hold only then. See {@link validateTogether}.
 */
export function parseExperiment(text: string, file: string, purpose: Purpose = 'edit'): ParsedExperiment {
  // A byte order mark is not JSON; a space in its place keeps the offsets.
  const json = text.startsWith('\uFEFF') ? ` ${text.slice(1)}` : text;
  const syntaxErrors: ParseError[] = [];
  const tree = parseTree(json, syntaxErrors, { allowTrailingComma: true });
  const lines = new LineIndex(text);
  const rangeAt = (path: JsonPath) => rangeInTree(tree, path, lines);
  const faults: Fault[] = syntaxErrors.map((error) => syntaxFault(error, lines));
  if (!tree) return { file, experiment: null, faults, rangeAt };
  collectDuplicates(tree, [], lines, faults);
  const result = experimentSchema.safeParse(getNodeValue(tree));
  if (result.success) {
    for (const fault of validateTogether(result.data, purpose))
      faults.push({ ...fault, range: rangeAt(fault.path) });
  } else {
    faults.push(...schemaFaults(result.error.issues, tree, lines, syntaxErrors.length > 0));
  }
  faults.sort((a, b) => a.range.offset - b.range.offset);
  const experiment = result.success && syntaxErrors.length === 0 ? result.data : null;
  return { file, experiment, faults, rangeAt };
}

function syntaxFault(error: ParseError, lines: LineIndex): Fault {
  const words = SYNTAX_ERRORS[printParseErrorCode(error.error)] ?? 'this is not JSON';
  return {
    severity: 'error',
    code: 'config/syntax',
    path: [],
    range: lines.range(error.offset, error.length),
    message: `${words}.`,
    hint: 'The file is JSON; comments and trailing commas are allowed.',
  };
}

function collectDuplicates(node: Node, path: JsonPath, lines: LineIndex, faults: Fault[]): void {
  const seen = new Set<string>();
  for (const [index, child] of (node.children ?? []).entries()) {
    if (node.type !== 'object') {
      collectDuplicates(child, [...path, index], lines, faults);
      continue;
    }
    const [key, value] = child.children ?? [];
    const name = String(key?.value);
    if (seen.has(name))
      faults.push({
        severity: 'error',
        code: 'config/duplicate-key',
        path: [...path, name],
        range: lines.range(key!.offset, key!.length),
        message: `${formatPath([...path, name])} is written twice.`,
        hint: 'Keep one of the two.',
      });
    seen.add(name);
    if (value) collectDuplicates(value, [...path, name], lines, faults);
  }
}

function schemaFaults(
  issues: readonly z.core.$ZodIssue[],
  tree: Node,
  lines: LineIndex,
  recovered: boolean,
): Fault[] {
  const faults: Fault[] = [];
  for (const issue of issues) {
    const path = issue.path as JsonPath;
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const fault = unknownKeyFault(path, key);
        faults.push({ ...fault, range: keyRange(tree, fault.path, lines) });
      }
      continue;
    }
    const node = nodeAt(tree, path);
    // After a syntax error the tree is a guess: do not call a key missing that the person may well have written.
    if (!node && recovered) continue;
    const fault = valueFault(path, node);
    faults.push({ ...fault, range: rangeInTree(tree, path, lines) });
  }
  return faults;
}

function unknownKeyFault(parent: JsonPath, key: string): RuleFault {
  const path = [...parent, key];
  const names = Object.keys(schemaAt(parent)?.properties ?? {});
  const nearest = nearestName(key, names);
  const elsewhere = placesOf(key);
  const hint = nearest
    ? `Did you mean "${nearest}"?`
    : elsewhere.length > 0
      ? `"${key}" belongs in ${elsewhere.join(', or ')}.`
      : `The keys here are: ${names.join(', ')}.`;
  return {
    severity: 'error',
    code: 'config/unknown-key',
    path,
    message: `${formatPath(path)} is not a key of an experiment. ${hint}`,
    hint,
  };
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
  return {
    severity: 'error',
    code: 'config/invalid-value',
    path,
    message: `${key} is ${foundText(node)}; allowed: ${allowed}.`,
    hint: schema?.description ?? '',
  };
}

function foundText(node: Node): string {
  if (node.type === 'object') return 'an object { … }';
  if (node.type === 'array') return 'a list [ … ]';
  const text = JSON.stringify(node.value);
  return text.length > 60 ? `${text.slice(0, 57)}…"` : text;
}

function nodeAt(tree: Node, path: JsonPath): Node | undefined {
  return findNodeAtLocation(tree, [...path]);
}

function keyRange(tree: Node, path: JsonPath, lines: LineIndex): TextRange {
  const key = nodeAt(tree, path)?.parent?.children?.[0];
  return key ? lines.range(key.offset, key.length) : rangeInTree(tree, path, lines);
}

function rangeInTree(tree: Node | undefined, path: JsonPath, lines: LineIndex): TextRange {
  if (!tree) return lines.range(0, 0);
  for (let depth = path.length; depth >= 0; depth--) {
    const node = nodeAt(tree, path.slice(0, depth));
    if (!node) continue;
    // A key that is not there: point at the opening brace of the object that lacks it.
    const isAround = depth < path.length && node.type === 'object';
    return lines.range(node.offset, isAround ? 1 : node.length);
  }
  return lines.range(tree.offset, 1);
}
