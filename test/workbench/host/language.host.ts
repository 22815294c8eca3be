import assert from 'node:assert/strict';
import { before, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { activeParts, lensesOf, lineOf, open, openText, until } from './editor.ts';

const MISSPELT = `{
  "model": "model",
  // British English.
  "quantisation": { "weights": { "bits": 4 } },
  "rotation": { "r1": "learned", "r3": "yes" },
  "calibration": { "text": "calibration.txt" }
}
`;

const MISSING_FILES = `{
  "model": "no-such-model",
  "calibration": { "text": "calibration.txt" },
  "evaluation": { "perplexity": [
    { "name": "stories", "text": "no-such.txt" }
  ] }
}
`;

/** The demo's model was made for 512 positions. */
const TOO_LONG = `{
  "model": "model",
  "calibration": {
    "text": "calibration.txt",
    "sequenceLength": 4096
  },
  "rotation": {
    "r4": false
  }
}
`;

describe('experiment files', () => {
  before(activeParts);

  const cases: [name: string, text: string, marked: string[]][] = [
    ['wrong-words', MISSPELT, ['"quantisation"', '"yes"']],
    ['missing-files', MISSING_FILES, ['"no-such-model"', '"no-such.txt"']],
    ['against-the-model', TOO_LONG, ['4096', 'false']],
  ];
  for (const [name, text, marked] of cases)
    it(`have faults marked where they stand: ${name}`, async () => {
      const document = await openText(`${name}.spinquant.json`, text);
      const expected = marked.map((part) => place(document, part)).join('\n');
      await until(
        () => described(document) === expected || undefined,
        () => described(document),
      );
    });

  it('have a fix for a misspelt key', async () => {
    const document = await openText('fix.spinquant.json', MISSPELT);
    const fault = await until(() =>
      ownDiagnostics(document).find(({ range }) => range.start.line === lineOf(document, 'quantisation')),
    );
    const action = await until(async () => {
      const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
        'vscode.executeCodeActionProvider',
        document.uri,
        fault.range,
      );
      return actions.find(({ title }) => title.includes('quantization'));
    });
    assert.ok(await vscode.workspace.applyEdit(action.edit!));
    assert.equal(document.getText(), MISSPELT.replace('quantisation', 'quantization'));
    await until(() => ownDiagnostics(document).length === 1 || undefined);
  });

  it('have nothing to say of the demo', async () => {
    const document = await open('quick.spinquant.json');
    const text = document.getText();
    await replace(document, text.replace('"model"', '"modell"'));
    await until(() => ownDiagnostics(document).length > 0 || undefined);
    await replace(document, text);
    await until(() => ownDiagnostics(document).length === 0 || undefined);
    await document.save();
  });

  it('complete keys by the schema, with their meaning', async () => {
    const document = await openText('empty.spinquant.json', '{\n  "model": "model",\n  \n}\n');
    const items = await until(async () => {
      const list = await vscode.commands.executeCommand<vscode.CompletionList>(
        'vscode.executeCompletionItemProvider',
        document.uri,
        new vscode.Position(2, 2),
      );
      return list.items.some(({ label }) => label === 'rotation') ? list.items : undefined;
    });
    const labels = items.map(({ label }) => label);
    for (const key of ['calibration', 'quantization', 'evaluation']) assert.ok(labels.includes(key), key);
    assert.ok(items.find(({ label }) => label === 'rotation')?.documentation);
  });

  it('have their lenses above the right lines', async () => {
    const document = await open('quick.spinquant.json');
    const lenses = await until(async () => {
      const all = await lensesOf(document);
      return all.length > 0 ? all : undefined;
    });
    assert.deepEqual(lenses, [
      { line: lineOf(document, '"model"'), title: 'Optimize rotation' },
      { line: lineOf(document, '"rotation"'), title: 'R1 learned · R2 learned · R3 R4 Hadamard' },
      { line: lineOf(document, '"evaluation"'), title: 'No rotation' },
    ]);
  });
});

function ownDiagnostics({ uri }: vscode.TextDocument): vscode.Diagnostic[] {
  return vscode.languages.getDiagnostics(uri).filter(({ source }) => source === 'SpinQuant');
}

/** `4:3 "quantisation"`: line, column and text of each diagnostic. */
function described(document: vscode.TextDocument): string {
  const diagnostics = ownDiagnostics(document).sort((a, b) => a.range.start.compareTo(b.range.start));
  return diagnostics.map(({ range }) => at(range.start, document.getText(range))).join('\n');
}

function place(document: vscode.TextDocument, text: string): string {
  return at(document.positionAt(document.getText().indexOf(text)), text);
}

const at = ({ line, character }: vscode.Position, text: string) => `${line + 1}:${character + 1} ${text}`;

async function replace(document: vscode.TextDocument, text: string): Promise<void> {
  const edit = new vscode.WorkspaceEdit();
  const end = document.positionAt(document.getText().length);
  edit.replace(document.uri, new vscode.Range(new vscode.Position(0, 0), end), text);
  await vscode.workspace.applyEdit(edit);
}
