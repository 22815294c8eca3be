/** The tool of language models that exports a run, or tells what would become of it. Writing asks the person first. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { EXPORT_FORMATS } from '../../protocol/export-formats.ts';
import { costInWords } from '../../protocol/export-plan.ts';
import type { Parts } from '../parts.ts';
import { type FormatChoice, formatChoices } from '../runs/export-choices.ts';
import { followed, planSettings } from '../runs/exporting.ts';

export interface ExportInput {
  /** Id or folder of a run. */
  readonly run: string;
  /** A title of the list of formats, or the name of a format. */
  readonly format: string;
  /** Path to write to; without it, nothing is written. */
  readonly out?: string;
  /** True also measures what the target would compute. */
  readonly measure?: boolean;
}

/** Names what would be written and where; a table alone needs no question. */
export function confirmExport({ run, format, out }: ExportInput): vscode.PreparedToolInvocation {
  if (out === undefined) return { invocationMessage: vscode.l10n.t('Planning an export of {0}', run) };
  return {
    invocationMessage: vscode.l10n.t('Exporting {0}', run),
    confirmationMessages: {
      title: vscode.l10n.t('Export a run'),
      message: vscode.l10n.t(
        'Write {0} as {1} to {2}? This computes on this machine for minutes and takes the room of a model on the disk.',
        basename(run),
        format,
        out,
      ),
    },
  };
}

/** @param inWorkspace makes a path absolute. */
export async function exportByTool(
  parts: Parts,
  input: ExportInput,
  inWorkspace: (path: string) => string,
  stop?: vscode.CancellationToken,
): Promise<object> {
  const choice = formatNamed(input.format);
  if (choice === undefined)
    return {
      error: `There is no format ${input.format}.`,
      formats: formatChoices().map(({ label, description }) => ({ format: label, description })),
    };
  const run = runNamed(parts, input.run, inWorkspace);
  if (run === null) return { error: `There is no run ${input.run}.` };
  const out = input.out === undefined ? null : inWorkspace(input.out);
  if (out !== null && existsSync(out)) return { error: `${out} exists already: name another place.` };
  return written(parts, { choice, run, out, measure: input.measure ?? false }, stop);
}

interface Asked {
  readonly choice: FormatChoice;
  readonly run: string;
  readonly out: string | null;
  readonly measure: boolean;
}

async function written(
  parts: Parts,
  { choice: { label, exported }, run, out, measure }: Asked,
  stop?: vscode.CancellationToken,
): Promise<object> {
  if (exported.kind === 'rotations') {
    const { summary } = EXPORT_FORMATS[exported.format];
    if (out === null) return { format: label, summary, next: 'Call again with out to write the file.' };
    const client = await parts.worker.connect();
    const { tensors } = await client.request('export', { run, format: exported.format, out });
    return { file: out, tensors };
  }
  const asked = { run, settings: planSettings(exported), measure };
  const plan = await followed(parts, 'planExport', asked, label, stop);
  const cost = costInWords(plan, 'not measured (measure: true does so on a few windows)');
  const told = { format: label, rows: plan.rows, cost };
  const refused = plan.rows.find(({ verdict }) => verdict === 'refused');
  if (refused)
    return {
      error: `${label} has no place for the ${refused.part} of this run. ${refused.hint ?? ''}`,
      ...told,
    };
  if (out === null) return { ...told, next: 'Call again with out to write the folder.' };
  const result =
    exported.kind === 'checkpoint'
      ? await followed(parts, 'exportCheckpoint', { run, out, settings: exported.settings }, label, stop)
      : await followed(
          parts,
          'exportModel',
          { run, out, format: exported.format, target: exported.target, embeddings: 16, head: 16 },
          label,
          stop,
        );
  return { folder: out, bytes: result.bytes, notes: result.notes, ...told };
}

/** By its title, or by the name of a format: then its first choice, such as F16 of GGUF. */
function formatNamed(named: string): FormatChoice | undefined {
  const choices = formatChoices();
  const wanted = named.toLowerCase();
  const nameOf = ({ exported }: FormatChoice): string =>
    exported.kind === 'checkpoint' ? exported.settings.format : exported.format;
  return (
    choices.find(({ label }) => label.toLowerCase() === wanted) ??
    choices.find((choice) => nameOf(choice) === wanted)
  );
}

function runNamed(parts: Parts, named: string, inWorkspace: (path: string) => string): string | null {
  const byId = parts.runs.list().find(({ record }) => record.id === named);
  return (byId ?? parts.runs.get(inWorkspace(named)))?.dir ?? null;
}
