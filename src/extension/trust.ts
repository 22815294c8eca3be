/** Guards the worker, which reads models and texts that a folder names, with native code. */
import * as vscode from 'vscode';
import { UserError } from '../protocol/errors.ts';
import { COMMANDS } from '../protocol/ids.ts';
import { Disposables } from './disposables.ts';
import { Worker } from './jobs/worker.ts';

/** Commands that start the worker. */
const STARTING = [
  COMMANDS.optimize,
  COMMANDS.evaluate,
  COMMANDS.inspect,
  COMMANDS.attribute,
  COMMANDS.resume,
];

/** The worker, which starts only where {@link refusal} has no objection, whoever asks for it. */
export class TrustedWorker extends Worker {
  override async connect(): ReturnType<Worker['connect']> {
    const objection = refusal();
    if (objection) throw objection;
    return super.connect();
  }
}

/** Why the worker may not run in this window; null when it may. */
export function refusal(): UserError | null {
  const folders = vscode.workspace.workspaceFolders ?? [];
  if (folders.length > 0 && folders.every(({ uri }) => uri.scheme !== 'file'))
    return new UserError(
      'editor/virtual',
      vscode.l10n.t('This folder is not on a disk, and the models, texts and runs of an experiment must be.'),
      vscode.l10n.t('Open the folder where it is stored.'),
    );
  if (!vscode.workspace.isTrusted)
    return new UserError(
      'editor/untrusted',
      vscode.l10n.t(
        'This folder is not trusted: its experiments are shown, but the models and texts they name are not read.',
      ),
      vscode.l10n.t('Trust it to optimize and evaluate.'),
    );
  return null;
}

/** Registers the commands of jobs as soon as the worker may run; until then those that start one say why not. */
export function onceAllowed(
  register: () => vscode.Disposable,
  log: vscode.LogOutputChannel,
): vscode.Disposable {
  const disposables = new Disposables();
  const standIns = disposables.add(new Disposables());
  const command = vscode.commands.registerCommand;
  let registered = false;
  const proceed = () => {
    if (registered || refusal()) return;
    registered = true;
    standIns.dispose();
    disposables.add(register());
  };
  proceed();
  if (registered) return disposables;
  for (const id of STARTING) standIns.add(command(id, explain));
  for (const id of [COMMANDS.cancel, COMMANDS.pause]) standIns.add(command(id, () => {}));
  standIns.add(command(COMMANDS.showLog, () => log.show(true)));
  disposables.add(vscode.workspace.onDidGrantWorkspaceTrust(proceed));
  disposables.add(vscode.workspace.onDidChangeWorkspaceFolders(proceed));
  return disposables;
}

/** @returns null at once, as the commands do that start nothing. */
function explain(): null {
  const objection = refusal();
  if (objection) void offerWayOut(objection);
  return null;
}

async function offerWayOut({ code, message, hint }: UserError): Promise<void> {
  const [title, command] =
    code === 'editor/untrusted'
      ? [vscode.l10n.t('Manage Workspace Trust'), 'workbench.trust.manage']
      : [vscode.l10n.t('Open Folder'), 'vscode.openFolder'];
  const chosen = await vscode.window.showWarningMessage(`${message} ${hint}`, title);
  if (chosen === title) await vscode.commands.executeCommand(command);
}
