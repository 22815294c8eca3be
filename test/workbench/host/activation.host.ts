import assert from 'node:assert/strict';
import { describe, it } from 'mocha';
import * as vscode from 'vscode';

describe('the extension', () => {
  const extension = vscode.extensions.getExtension('spinquant-lab.spinquant-lab');

  it('is known under its name', () => {
    assert.equal(extension?.packageJSON.displayName, 'SpinQuant Lab');
  });

  it('activates', async () => {
    await extension?.activate();
    assert.equal(extension?.isActive, true);
  });
});
