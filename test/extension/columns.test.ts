import assert from 'node:assert/strict';
import test from 'node:test';
import { type Group, panelColumn, type Tab, textColumn } from '../../src/extension/panels/columns.ts';

const FILE = '/lab/a.spinquant.json';

/** `T` a text, `F` the file, `P` a panel of ours, `O` something else, `*` for the active group: `['F T*', 'P']`. */
function layout(...groups: string[]): Group[] {
  return groups.map((text, index) => ({
    column: index + 1,
    active: text.includes('*'),
    tabs: [...text].flatMap((letter) => tabs[letter] ?? []),
  }));
}
const tabs: Readonly<Record<string, Tab>> = {
  T: { kind: 'text', path: '/lab/readme.md' },
  F: { kind: 'text', path: FILE },
  P: { kind: 'panel', path: null },
  O: { kind: 'other', path: null },
};

test('a panel joins another panel, else stands beside the text, and never makes a third column', () => {
  const cases: [groups: string[], column: ReturnType<typeof panelColumn>][] = [
    [['*'], 'here'],
    [['', '*'], 'here'],
    [['T*'], 'split'],
    [['O*'], 'split'],
    [['TP*'], 1],
    [['T', 'P*'], 2],
    [['T*', 'P'], 2],
    [['P', 'T*'], 1],
    [['T*', 'T', 'P'], 3],
    [['P', 'T', 'P*'], 3],
    // No panel yet: the group that is there already, on the right where there is one.
    [['T*', 'O'], 2],
    [['T', 'O*'], 2],
    [['O', 'T*'], 1],
    [['T', 'T*'], 1],
    [['T*', 'T', 'O'], 2],
    [['O*', 'T', 'O'], 3],
    [['O', 'O*'], 1],
  ];
  for (const [groups, column] of cases)
    assert.equal(panelColumn(layout(...groups)), column, groups.join(' | '));
});

test('a file opens where it is, else among texts, else where it covers no panel', () => {
  const cases: [groups: string[], column: number][] = [
    [['*'], 1],
    [['T', 'P*'], 1],
    [['P*', 'T'], 2],
    [['T*', 'F', 'P'], 2],
    [['P', 'O*'], 2],
    [['P*'], 1],
  ];
  for (const [groups, column] of cases)
    assert.equal(textColumn(layout(...groups), FILE), column, groups.join(' | '));
});
