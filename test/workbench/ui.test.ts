/** The extension as a person uses it: the whole workbench in a browser, the demo model, real runs. */
import { test } from 'node:test';
import { reasonToSkip } from './rig/rig.ts';
import { refuseFaults } from './ui/faults.ts';
import { fillTable, newTable, readTable } from './ui/filling.ts';
import { compareText } from './ui/generating.ts';
import { killAndResume, learn } from './ui/learning.ts';
import { evaluate, lookAtLayer, lookAtTree, photograph, reload } from './ui/looking.ts';
import { compareAndOpen, findAmongMany, findWords, renameByKey, useMenu } from './ui/many-runs.ts';
import { type Story, tellStory } from './ui/story.ts';

/** The story in its order: each part begins where the one before left the workbench. */
const STORY: Story = [
  ['palette: "SpinQuant: Optimize Rotation" learns while its curve grows', learn],
  ['the layer tree shows learned rotations and errors', lookAtTree],
  ['a click on a layer shows its histograms before and after rotation', lookAtLayer],
  ['the evaluation lens and the results table agree with the command line', evaluate],
  ['every panel shows itself in light, dark and high contrast', photograph],
  ['full precision and a run write side by side, as from the command line', compareText],
  ['everything is still there after a reload', reload],
  ['a killed worker is explained, and its run resumes to the end', killAndResume],
  ['a faulty experiment is not started, and its fault is shown', refuseFaults],
  ['palette: "SpinQuant: New Table of Methods and Bits" writes an experiment with a matrix', newTable],
  ['a matrix is filled from its lens, also after a reload in between', fillTable],
  ['its table leads to the runs', readTable],
  ['a run is found among hundreds', findAmongMany],
  ['F2 renames the run of a row', renameByKey],
  ['the menu of a row duplicates, copies and stars', useMenu],
  ['the editor finds words in the panel', findWords],
  ['runs are compared in a drawer, and opened by their name', compareAndOpen],
];

test('in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await tellStory(t, STORY);
});
