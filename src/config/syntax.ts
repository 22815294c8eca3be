/** This file reports the syntax errors of a JSON text. */
import { createScanner, type ParseError, printParseErrorCode } from 'jsonc-parser';
import type { Fault, LineIndex } from './faults.ts';

const SYNTAX_ERRORS: Readonly<Record<string, string>> = {
  InvalidSymbol: 'this is not JSON: a text needs double quotes',
  InvalidNumberFormat: 'this number is not written as in JSON',
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

/** After these errors, the rest of the text is still read as it was meant. */
const REST_ALONE = /^(CommaExpected|Invalid(CommentToken|Unicode|EscapeCharacter|Character))$/;

/** These errors lie inside a value, which then is not as it was meant. */
const INSIDE_VALUE =
  /^(UnexpectedEndOf(String|Number)|Invalid(Unicode|EscapeCharacter|Character|Symbol|NumberFormat))$/;

/** An experiment is five deep. The parser takes a place on the stack for each level, so much more would overflow it. */
const MAX_DEPTH = 100;

/** The fault of a text that nests deeper than can be read; null for any other. */
export function depthFault(text: string, lines: LineIndex): Fault | null {
  const scanner = createScanner(text, true);
  let depth = 0;
  while (scanner.getPosition() < text.length) {
    scanner.scan();
    const offset = scanner.getTokenOffset();
    // Brackets in texts and comments are parts of longer tokens, which begin otherwise.
    const first = text[offset];
    if (first === '}' || first === ']') depth--;
    if (first !== '{' && first !== '[') continue;
    if (++depth > MAX_DEPTH)
      return {
        severity: 'error',
        code: 'config/too-deep',
        path: [],
        range: lines.range(offset, 1),
        message: `the experiment nests lists and objects more than ${MAX_DEPTH} deep.`,
        hint: 'No setting needs this: remove the brackets from here on.',
      };
  }
  return null;
}

export function leavesRestAlone({ error }: ParseError): boolean {
  return REST_ALONE.test(printParseErrorCode(error));
}

export function isInsideValue({ error }: ParseError): boolean {
  return INSIDE_VALUE.test(printParseErrorCode(error));
}

export function syntaxFault(error: ParseError, lines: LineIndex): Fault {
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
