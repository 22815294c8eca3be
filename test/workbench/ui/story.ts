import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { screenshot } from '../rig/rig.ts';
import { type Session, startSession } from './session.ts';

/** Each part begins where the one before left the workbench. */
export type Story = readonly (readonly [title: string, part: (session: Session) => Promise<void>])[];

/** Tells a story in a workbench of its own; what comes after a failure would only fail of it. */
export async function tellStory(t: TestContext, story: Story, start = startSession): Promise<void> {
  const session = await start();
  let failed = false;
  try {
    for (const [title, part] of story)
      await t.test(title, async () => {
        assert.ok(!failed, 'An earlier part failed.');
        failed = true;
        try {
          await part(session);
          failed = false;
        } finally {
          if (failed) await screenshot(session.rig.page, 'ui-failed');
        }
      });
    await t.test('no panel broke its content security policy, nothing threw', () => {
      assert.deepEqual(session.complaints, []);
    });
  } finally {
    await session.end();
  }
}
