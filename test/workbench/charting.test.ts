/** Runs and layers as a person looks at them, in the whole workbench. */
import { test } from 'node:test';
import { reasonToSkip } from './rig/rig.ts';
import {
  addRun,
  compareLayers,
  deleteShown,
  makeTwoRuns,
  measureRotations,
  readSideBar,
} from './ui/charting.ts';
import { tellStory } from './ui/story.ts';

test('charts in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await tellStory(t, [
    ['two runs of a terminal are listed', makeTwoRuns],
    ['the side bar shows the numbers at 300 px', readSideBar],
    ['the curve is on the first screen, and runs are added to it', addRun],
    ['layers: a heat map, and two runs side by side', compareLayers],
    ['an evaluation of rotations names their run, and has their seed', measureRotations],
    ['a panel says that its run was deleted', deleteShown],
  ]);
});
