/** The first minutes of a person without a model, in the whole workbench: an empty folder, a fresh profile. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startHub } from '../hub/server.ts';
import { reasonToSkip } from './rig/rig.ts';
import {
  downloadModel,
  explainModels,
  goOnFromNoFolder,
  importModel,
  makeExperiment,
  ON_HUB,
  refuseOther,
  runDemo,
  stopImport,
  tryDemo,
} from './ui/first-minutes.ts';
import { startSession } from './ui/session.ts';
import { tellStory } from './ui/story.ts';

test('the first minutes in the workbench', async (t) => {
  const reason = await reasonToSkip();
  if (reason) return t.skip(reason);
  await startHub(t, [ON_HUB]);
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-empty-'));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  const home = mkdtempSync(join(tmpdir(), 'spinquant-home-'));
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  await tellStory(
    t,
    [
      ['an empty folder: the side bar offers the demo, which opens with what it takes', tryDemo],
      ['its curve falls within two minutes', runDemo],
      ['the walkthrough says what a model folder is', explainModels],
      ['a file that is no model is refused in words', refuseOther],
      ['a GGUF file becomes a model folder', importModel],
      ['an experiment with it is three answers away, the quick one first', makeExperiment],
      ['an import that is stopped leaves nothing', stopImport],
      ['a model comes from the Hub by its name', downloadModel],
      ['without a folder it asks, and the window of the demo goes on', goOnFromNoFolder],
    ],
    () => startSession({ folder, remove }, { HOME: home }),
  );
});
