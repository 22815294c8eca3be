/** What a person starts, stops and deletes, in the whole workbench: nothing is lost, nothing surprises. */

import { test } from 'node:test';
import { reasonToSkip } from './rig/rig.ts';
import { closeWindow, doubleClick, failedStart, madeElsewhere, pauseAndResume } from './ui/stopping.ts';
import { tellStory } from './ui/story.ts';

test('jobs in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await tellStory(t, [
    ['a double-click on Optimize makes one run', doubleClick],
    ['Pause does not start the next, and Resume says with which settings it goes on', pauseAndResume],
    ['runs of a terminal come and go within two seconds, also in a new folder', madeElsewhere],
    ['a start that fails says so, and opens no older run', failedStart],
    ['a window that closes interrupts its run; the next offers to resume', closeWindow],
  ]);
});
