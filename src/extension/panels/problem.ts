import type * as vscode from 'vscode';
import { messageOf, UserError } from '../../protocol/errors.ts';
import type { Problem } from '../../protocol/panels/common.ts';

/** An error in the person's words; one of ours also goes to the log. */
export function problemOf(error: unknown, log: vscode.LogOutputChannel): Problem {
  if (error instanceof UserError) return { message: error.message, hint: error.hint };
  log.error(messageOf(error));
  return { message: messageOf(error), hint: '' };
}
