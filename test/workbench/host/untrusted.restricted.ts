import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';
import { COMMAND_IDS, COMMANDS, SETTINGS } from '../../../src/protocol/ids.ts';
import { EXPERIMENT } from '../rig/experiment.ts';
import { activeParts, lensesOf, open, openText, showEverything, until, workspaceUri } from './editor.ts';

const STARTING = [
  COMMANDS.optimize,
  COMMANDS.evaluate,
  COMMANDS.inspect,
  COMMANDS.attribute,
  COMMANDS.resume,
];

describe('a folder that is not trusted', () => {
  it('has the extension active, with all of its commands', async () => {
    assert.equal(vscode.workspace.isTrusted, false);
    await activeParts();
    const registered = await vscode.commands.getCommands(true);
    assert.deepEqual(
      COMMAND_IDS.filter((command) => !registered.includes(command)),
      [],
    );
  });

  it('gives no program and no memory limit to the worker', () => {
    const settings = vscode.workspace.getConfiguration();
    assert.equal(settings.get(SETTINGS.threads), 3, 'other settings of the folder are read');
    assert.equal(settings.get(SETTINGS.nodePath), '');
    assert.equal(settings.get(SETTINGS.workerMemoryLimit), null);
  });

  it('starts no worker, whoever asks: commands, the queue, the check of an experiment against its model', async () => {
    const { jobs, worker } = await activeParts();
    for (const command of STARTING)
      assert.equal(await vscode.commands.executeCommand(command, workspaceUri(EXPERIMENT)), null, command);
    assert.deepEqual(jobs.all, []);
    const { state, message } = await jobs.submit({
      kind: 'optimize',
      experiment: workspaceUri(EXPERIMENT).fsPath,
    });
    assert.equal(state, 'failed');
    assert.match(message ?? '', /not trusted.* Trust it to optimize and evaluate\.$/);
    await assert.rejects(worker.connect(), { code: 'editor/untrusted' });
    assert.equal(worker.pid, undefined);
  });

  it('still shows experiments: lenses, and faults that need no model', async () => {
    const document = await open(EXPERIMENT);
    const lenses = await until(async () => {
      const titles = (await lensesOf(document)).map(({ title }) => title);
      return titles.length > 0 ? titles : undefined;
    });
    assert.ok(lenses.includes('Optimize rotation'), lenses.join(', '));
    const faulty = await openText('faulty.spinquant.json', '{ "model": "model", "quantisation": {} }\n');
    const faults = await until(() => {
      const own = vscode.languages.getDiagnostics(faulty.uri).filter(({ source }) => source === 'SpinQuant');
      return own.length > 0 ? own : undefined;
    });
    assert.ok(faults.some(({ message }) => /quantisation/.test(message)));
    const { worker } = await activeParts();
    assert.equal(worker.pid, undefined);
  });

  it('opens every panel', async () => {
    await showEverything();
  });
});
