import assert from 'node:assert/strict';
import { before, describe, it } from 'mocha';
import * as vscode from 'vscode';
import { activeParts, lensesOf, lineOf, open, openText, until, workspaceUri } from './editor.ts';

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

/** Keys, values, files, rules between keys, and settings that do not suit the model: all at once. */
const EVERYTHING = `{
  "model": "model",
  "calibration": {
    "text": ["calibration.txt", "no-such.txt"], "samples": "all",
    "sequenceLength": 1024
  },
  "quantisation": { "weights": { "groupSize": 7 } },
  "rotation": {
    "r1": "learnt", "r4": false
  },
  "threads": 2, "threads": 0
}
`;

/** The text that is learned on is measured on, too. */
const SEEN = `{
  "model": "model",
  "calibration": { "text": "calibration.txt", "sequenceLength": 64 },
  "evaluation": { "perplexity": [
    { "name": "seen", "text": "calibration.txt", "sequenceLength": 64 }
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
    // No sequence length is written, and its default is too long for the model.
    ['wrong-words', MISSPELT, ['"quantisation"', '"yes"', '6:18 {']],
    ['missing-files', MISSING_FILES, ['"no-such-model"', '"no-such.txt"']],
    ['shared-text', SEEN, ['5:31 "calibration.txt"']],
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

  it('have all their faults marked in one go', async () => {
    const name = 'everything.spinquant.json';
    const uri = workspaceUri(name).toString();
    const published: string[] = [];
    const listener = vscode.languages.onDidChangeDiagnostics(({ uris }) => {
      const document = vscode.workspace.textDocuments.find((one) => one.uri.toString() === uri);
      const isOurs = document && uris.some((changed) => changed.toString() === uri);
      if (isOurs && ownDiagnostics(document).length > 0) published.push(described(document));
    });
    await openText(name, EVERYTHING);
    const expected = [
      '4:33 "no-such.txt"',
      '4:60 "all"',
      '5:23 1024',
      '7:3 "quantisation"',
      '7:47 7',
      '9:11 "learnt"',
      '9:27 false',
      '11:17 "threads"',
      '11:28 0',
    ].join('\n');
    await until(
      () => published.length > 0 || undefined,
      () => 'no diagnostics',
    );
    listener.dispose();
    assert.equal(published[0], expected);
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
    await until(() => ownDiagnostics(document).length === 2 || undefined);
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

  it('have their lenses above the right lines, with what a run takes', async () => {
    const document = await open('quick.spinquant.json');
    const cost = / · about \d+ (s|min), \d+ MiB$/;
    const lenses = await until(async () => {
      const all = await lensesOf(document);
      return all.some(({ title }) => cost.test(title)) ? all : undefined;
    });
    const plain = lenses.map(({ line, title }) => ({ line, title: title.replace(cost, '') }));
    assert.deepEqual(plain, [
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

/** Returns where a text stands first; one with its place is taken as it is. */
function place(document: vscode.TextDocument, text: string): string {
  if (/^\d+:\d+ /.test(text)) return text;
  return at(document.positionAt(document.getText().indexOf(text)), text);
}

const at = ({ line, character }: vscode.Position, text: string) => `${line + 1}:${character + 1} ${text}`;

async function replace(document: vscode.TextDocument, text: string): Promise<void> {
  const edit = new vscode.WorkspaceEdit();
  const end = document.positionAt(document.getText().length);
  edit.replace(document.uri, new vscode.Range(new vscode.Position(0, 0), end), text);
  await vscode.workspace.applyEdit(edit);
}
