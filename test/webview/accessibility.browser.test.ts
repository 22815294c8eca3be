/** Axe finds nothing in any panel, in any theme: with numbers, with tables in place of pictures, empty, and with a fault. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import axe from 'axe-core';
import { attributionOf } from '../../scripts/fixtures/attribution.mts';
import { makeMatrix } from '../../scripts/fixtures/make-matrix.mts';
import {
  makeDeepRun,
  makeResultRuns,
  makeRoundingRun,
  makeRunningRun,
} from '../../scripts/fixtures/make-runs.mts';
import type { PanelName } from '../../src/protocol/panels/registry.ts';
import { writeAttribution } from '../../src/runs/index.ts';
import { generatedOf } from './generated.ts';
import { browserFor, drawn, type PanelPage, THEME_NAMES } from './harness.ts';
import { layersOf, matrixOf, realRun, resultsOf, trainingOf } from './states.ts';

/** What of axe's result is read. */
interface Finding {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly {
    readonly target: unknown;
    readonly html: string;
    readonly failureSummary?: string;
  }[];
}

const DELETED = { kind: 'problem', title: 'The run was deleted', text: 'Its folder is gone.' };
const PROBLEM = { message: 'events.jsonl is not JSON.', hint: 'Run it again.' };

const browser = browserFor(() => Promise.resolve());

/** Axe's findings in the page as it is now, a line for each element. @param colors looks at nothing else. */
async function findingsOf({ page }: PanelPage, colors = false): Promise<string[]> {
  const found = await page.evaluate(async (only) => {
    const { axe: inPage } = globalThis as unknown as { axe: typeof axe };
    const { violations } = await inPage.run(document, {
      resultTypes: ['violations'],
      // Style sheets are the page's own: fetching them again would break its policy.
      preload: false,
      ...(only && { runOnly: { type: 'rule', values: ['color-contrast', 'link-in-text-block'] } }),
    });
    return violations as readonly Finding[];
  }, colors);
  return found.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id} (${help}): ${JSON.stringify(node.target)} ${node.html.slice(0, 160)}`),
  );
}

interface Look {
  readonly state: unknown;
  /** Leads to another look at the state. */
  readonly act?: (panel: PanelPage) => Promise<void>;
  readonly kept?: unknown;
}

/** Opens the panel with each state and looks at it in every theme. */
async function clean(bundle: PanelName, looks: Readonly<Record<string, Look>>): Promise<void> {
  const found: string[] = [];
  for (const [what, { state, act, kept }] of Object.entries(looks)) {
    const panel = await browser.show(bundle, state, { kept });
    await panel.page.evaluate(axe.source);
    await act?.(panel);
    for (const theme of THEME_NAMES) {
      await panel.setTheme(theme);
      await panel.settle();
      // Nothing but colours and borders differs from theme to theme.
      const findings = await findingsOf(panel, theme !== THEME_NAMES[0]);
      for (const finding of findings) found.push(`${what}, ${theme}: ${finding}`);
    }
    await panel.end();
  }
  assert.deepEqual(found, []);
}

/** Every chart as a table. */
async function showTables({ page }: PanelPage): Promise<void> {
  const toggles = page.getByRole('button', { name: /^Show .* as a table$/ });
  while ((await toggles.count()) > 0) await toggles.first().click();
}

drawn('axe finds what is wrong, or its silence would say nothing', async () => {
  const panel = await browser.show('training', await trainingOf(null));
  await panel.page.evaluate(axe.source);
  await panel.page.evaluate(() => {
    const wrong = document.createElement('button');
    wrong.style.cssText = 'color: #999; background: #fff';
    document.body.append(wrong, Object.assign(document.createElement('img'), { src: '' }));
  });
  const found = await findingsOf(panel);
  for (const rule of ['button-name', 'image-alt'])
    assert.ok(
      found.some((finding) => finding.startsWith(rule)),
      `${rule} in ${found.join('\n')}`,
    );
});

drawn('axe finds nothing in the training panel', async () => {
  const folder = await browser.runsFolder();
  await clean('training', {
    empty: { state: await trainingOf(null) },
    curves: { state: await trainingOf(realRun(), { others: [realRun()] }) },
    tables: { state: await trainingOf(realRun()), act: showTables },
    running: { state: await trainingOf(makeRunningRun(folder)) },
    rounding: { state: await trainingOf(makeRoundingRun(folder)) },
    'a fault': { state: { ...(await trainingOf(null)), problem: PROBLEM } },
    'a deleted run': { state: { ...(await trainingOf(null)), notice: DELETED } },
  });
});

drawn('axe finds nothing in the layers panel', async () => {
  const real = await layersOf(realRun());
  const deep = await layersOf(makeDeepRun(await browser.runsFolder()));
  writeAttribution(join(deep.run!.dir, 'attribution.json'), attributionOf(deep.layers));
  const dear = await layersOf(deep.run!.dir);
  const { run, layers, depth, detail } = deep;
  await clean('layers', {
    empty: { state: await layersOf(null) },
    'a fault': { state: { ...(await layersOf(null)), problem: PROBLEM } },
    tables: { state: real, act: showTables },
    '32 layers, and where the loss goes': {
      state: dear,
      act: ({ page }) => page.locator('.attribution').scrollIntoViewIfNeeded(),
    },
    'where the loss goes, as tables': { state: dear, act: showTables },
    'two runs': { state: { ...real, other: { run, layers, depth, detail } } },
  });
});

drawn('axe finds nothing in the results panel', async () => {
  const dirs = makeResultRuns(await browser.runsFolder());
  const state = await resultsOf(dirs.toReversed(), [dirs[15]!, dirs[16]!], [dirs[15]!]);
  await clean('results', {
    empty: { state: await resultsOf([]) },
    'two runs compared': { state },
    'a choice of columns': {
      state,
      act: ({ page }) => page.locator('summary', { hasText: 'Columns' }).click(),
    },
    'by experiment': {
      state,
      act: ({ page }) => page.getByRole('checkbox', { name: 'By experiment' }).press('Space'),
    },
    'methods × bits': { state, kept: { remembered: null, toggles: { view: 'pivot' } } },
  });
});

drawn('axe finds nothing in tables of methods and bits', async () => {
  const folder = await browser.runsFolder();
  const state = await resultsOf([], [], [], await matrixOf(makeMatrix(folder), folder));
  const cell = /^4-4-4, SpinQuant had \+ GPTQ, wikitext2/;
  await clean('results', {
    'runs of a cell': { state, act: ({ page }) => page.getByRole('button', { name: cell }).click() },
    'pictures as tables': { state, act: showTables },
  });
});

drawn('axe finds nothing in the panel of generated text', async () => {
  await clean('generate', {
    texts: { state: generatedOf() },
    'nothing written yet': { state: generatedOf({ comparison: null }) },
    'no runs': { state: generatedOf({ comparison: null, hasRuns: false, chosen: [], names: [] }) },
    'a fault': { state: generatedOf({ problem: PROBLEM }) },
  });
});
