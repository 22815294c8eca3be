import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';
import { COMMAND_IDS, COMMANDS } from '../../../src/protocol/ids.ts';
import { activeParts, open, showEverything, until } from './editor.ts';

const STARTING = [COMMANDS.optimize, COMMANDS.evaluate, COMMANDS.inspect, COMMANDS.resume];

describe('a folder that is on no disk', () => {
  it('has the extension active, with all of its commands', async () => {
    const [folder] = vscode.workspace.workspaceFolders ?? [];
    assert.equal(folder?.uri.scheme, 'spinquant-test');
    await activeParts();
    const registered = await vscode.commands.getCommands(true);
    assert.deepEqual(
      COMMAND_IDS.filter((command) => !registered.includes(command)),
      [],
    );
  });

  it('starts no worker and says why', async () => {
    const { jobs, worker } = await activeParts();
    for (const command of STARTING)
      assert.equal(await vscode.commands.executeCommand(command), null, command);
    assert.deepEqual(jobs.all, []);
    await assert.rejects(worker.connect(), {
      code: 'editor/virtual',
      message: /not on a disk/,
    });
  });

  it('lets experiment files be edited, without runs or experiments in the views', async () => {
    const document = await open('lab.spinquant.json');
    assert.match(document.getText(), /"model"/);
    const { experiments, runs } = await activeParts();
    await Promise.all([experiments.refresh(), runs.refresh()]);
    assert.deepEqual([experiments.all, experiments.active, runs.list()], [[], null, []]);
    // The schema, which the editor itself applies, knows the key.
    const [hover] = await until(async () => {
      const found = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        document.uri,
        document.positionAt(document.getText().indexOf('"model"') + 2),
      );
      return found.length > 0 ? found : undefined;
    });
    assert.ok(hover);
  });

  it('opens every panel, and shows both views', async () => {
    await showEverything();
  });
});
