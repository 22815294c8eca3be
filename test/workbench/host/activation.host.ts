import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';
import { COMMAND_IDS, TOOLS } from '../../../src/protocol/ids.ts';
import { activeParts, EXTENSION_ID, until } from './editor.ts';

describe('the extension', () => {
  it('is active in a folder with an experiment, without being asked', async () => {
    await until(() => vscode.extensions.getExtension(EXTENSION_ID)?.isActive || undefined);
  });

  it('has every command that it declares', async () => {
    await activeParts();
    const registered = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      COMMAND_IDS.filter((command) => !registered.has(command)),
      [],
    );
  });

  it('offers its tools to language models', async () => {
    await activeParts();
    const offered = vscode.lm.tools.map(({ name }) => name);
    assert.deepEqual(
      Object.values(TOOLS).filter((tool) => !offered.includes(tool)),
      [],
    );
  });
});
