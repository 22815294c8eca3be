/** The editor beside a fast, long run, in the whole workbench. */
import { test } from 'node:test';
import { reasonToSkip } from './rig/rig.ts';
import { tellStory } from './ui/story.ts';
import { typeBesideRun } from './ui/typing.ts';

test('a fast run in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await tellStory(t, [['typing is as quick as without it', typeBesideRun]]);
});
