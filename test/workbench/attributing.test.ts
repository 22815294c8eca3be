/** Attribution of the loss, in the whole workbench. */
import { test } from 'node:test';
import { reasonToSkip } from './rig/rig.ts';
import { attributeFromPanel, makeRun, putIntoExperiment } from './ui/attributing.ts';
import { tellStory } from './ui/story.ts';

test('attribution in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await tellStory(t, [
    ['a run of a terminal is listed', makeRun],
    ['the layers panel attributes the loss, layer by site', attributeFromPanel],
    ['exceptions are put into the experiment', putIntoExperiment],
  ]);
});
