import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { screenshot } from '../rig/rig.ts';
import { type Session, startSession } from './session.ts';

/** Each part begins where the one before left the workbench. */
export type Story = readonly (readonly [title: string, part: (session: Session) => Promise<void>])[];

/** Letters of a page that say what it shows. */
const SEEN = 3000;

/** What fails on another machine can only be read. */
async function tellWhatIsSeen(test: TestContext, { rig }: Session): Promise<void> {
  await screenshot(rig.page, 'ui-failed');
  const text = await rig.page.locator('body').innerText();
  test.diagnostic(`Seen: ${text.replace(/\s+/g, ' ').slice(0, SEEN)}`);
}

/** Tells a story in a workbench of its own; what comes after a failure would only fail of it. */
export async function tellStory(t: TestContext, story: Story, start = startSession): Promise<void> {
  const session = await start();
  let failed = false;
  try {
    for (const [title, part] of story)
      await t.test(title, async (test) => {
        assert.ok(!failed, 'An earlier part failed.');
        failed = true;
        try {
          await part(session);
          failed = false;
        } finally {
          if (failed) await tellWhatIsSeen(test, session).catch(String);
        }
      });
    await t.test('no panel broke its content security policy, nothing threw', () => {
      assert.deepEqual(session.complaints, []);
    });
  } finally {
    await session.end();
  }
}
