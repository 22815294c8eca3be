import assert from 'node:assert/strict';
import test from 'node:test';
import { experimentSchema, scaledSeams, scalingOf } from '../../src/config/index.ts';
import {
  badSites,
  filterLayers,
  type LayerTreeInput,
  layerTree,
  sortByError,
} from '../../src/extension/layers/model.ts';
import { type SubjectInput, subjectOf } from '../../src/extension/layers/subject.ts';
import type { RunSummary } from '../../src/extension/runs/summaries.ts';
import { SITES, type Site } from '../../src/protocol/block.ts';
import { type ActivationsFile, Run, type SiteRecord, type SiteStatistics } from '../../src/runs/index.ts';
import { FILE, summary } from './run-fixture.ts';

function statistics(sqnrDb: number | null): SiteStatistics {
  const histogram = { min: -1, max: 1, counts: [1] };
  return { histogram, channelMaxima: [1], kurtosis: 3, sqnrDb, rms: 1, maxAbs: 1, tokens: 1 };
}

/** dB after rotation, per layer and site. */
function activations(layers: Partial<Record<Site, number | null>>[]): ActivationsFile {
  const sites = layers.flatMap((byName, layer) =>
    SITES.flatMap((site): SiteRecord[] => {
      const sqnr = byName[site];
      if (sqnr === undefined) return [];
      return [{ layer, site, rotation: [], before: statistics(null), after: statistics(sqnr) }];
    }),
  );
  return { version: 1, bits: 'W4A4KV4', axis: '', sites };
}

const MODEL = { architecture: 'llama', layers: 3, hiddenSize: 8, headDim: 4, intermediateSize: 12 };

function tree(input: Partial<LayerTreeInput> = {}, settings: object = {}) {
  const experiment = experimentSchema.parse({ model: 'm', ...settings });
  const scaled = scaledSeams(experiment);
  const shown = { model: MODEL, activations: null, progress: 'none' } as const;
  return layerTree({ settings: experiment, scaled, mixes: scalingOf(experiment)?.mixes, ...shown, ...input });
}

const states = (...args: Parameters<typeof tree>) => tree(...args).maps.map(({ state }) => state);

test('states of the rotations', () => {
  assert.deepEqual(states(), ['planned', 'planned', 'online', 'online']);
  assert.deepEqual(states({ progress: 'learning' }).slice(0, 2), ['learning', 'learning']);
  assert.deepEqual(states({ progress: 'learned' })[0], 'learned');
  assert.deepEqual(states({ progress: 'merged' })[0], 'merged');
  assert.deepEqual(
    states({ progress: 'merged' }, { rotation: { r1: 'hadamard', r2: 'none', r3: false, r4: false } }),
    ['hadamard', 'none', 'none', 'none'],
  );
  assert.equal(states({}, { quantization: { keys: { bits: 16 } } })[2], 'none', 'R3 cancels in q·k');
});

test('only maps that can act are shown, each where it does', () => {
  const { maps, layers } = tree();
  assert.deepEqual(
    maps.map(({ symbol }) => symbol),
    ['R1', 'R2', 'R3', 'R4'],
  );
  const at = Object.fromEntries(
    layers[0]!.sites.map(({ site, maps: own }) => [site, own.map(({ symbol }) => symbol).join(' ')]),
  );
  assert.deepEqual(at, {
    'attention-input': 'R1',
    query: 'R3',
    key: 'R3',
    value: 'R2',
    'o-input': 'R2',
    'mlp-input': 'R1',
    'down-input': 'R4',
  });
});

test('where heads are mixed, H acts behind R2', () => {
  const { maps, layers } = tree({}, { rotation: { acrossHeads: true } });
  assert.deepEqual(
    maps.map(({ symbol, state }) => `${symbol} ${state}`),
    ['R1 planned', 'R2 planned', 'H online', 'R3 online', 'R4 online'],
  );
  const own = layers[0]!.sites.find(({ site }) => site === 'o-input')!.maps;
  assert.deepEqual(
    own.map(({ symbol }) => symbol),
    ['R2', 'H'],
  );
});

test('where channels are scaled, S acts at the norms beside R1', () => {
  const { maps, layers } = tree({}, { scaling: { method: 'smoothquant' } });
  assert.deepEqual(
    maps.map(({ symbol, state }) => `${symbol} ${state}`),
    ['R1 planned', 'S scaled', 'R2 planned', 'R3 online', 'R4 online'],
  );
  const withS = layers[0]!.sites.filter(({ maps: own }) => own.some(({ symbol }) => symbol === 'S'));
  assert.deepEqual(
    withS.map(({ site, maps: own }) => [site, ...own.map(({ symbol }) => symbol)]),
    [
      ['attention-input', 'R1', 'S'],
      ['mlp-input', 'R1', 'S'],
    ],
  );
});

test('maps that mix channels say so, also where R4 would stand', () => {
  const { maps, layers } = tree({}, { rotation: { r4: false }, scaling: { method: 'flatquant' } });
  assert.deepEqual(maps.find(({ symbol }) => symbol === 'S')?.state, 'mixed');
  const withS = layers[0]!.sites.filter(({ maps: own }) => own.some(({ symbol }) => symbol === 'S'));
  assert.deepEqual(
    withS.map(({ site }) => site),
    ['attention-input', 'mlp-input', 'down-input'],
  );
});

test('scales that are balanced act before R2 and R4', () => {
  const { layers } = tree({}, { scaling: { method: 'balance' } });
  const withS = layers[0]!.sites.filter(({ maps: own }) => own.some(({ symbol }) => symbol === 'S'));
  assert.deepEqual(
    withS.map(({ site, maps: own }) => [site, ...own.map(({ symbol }) => symbol)]),
    [
      ['value', 'S', 'R2'],
      ['o-input', 'S', 'R2'],
      ['down-input', 'S', 'R4'],
    ],
  );
});

test('before anything was measured the model gives the layers, with every site', () => {
  const { layers } = tree();
  assert.equal(layers.length, 3);
  assert.deepEqual(
    layers[2]!.sites.map(({ site }) => site),
    SITES,
  );
  assert.equal(layers[0]!.worst, null);
  assert.deepEqual(layers.flatMap(badSites), []);
  assert.deepEqual(tree({ model: null }).layers, []);
});

test('measured layers: worst site, order by error, badges', () => {
  const measured = activations([
    { 'down-input': 17, key: 20, query: null },
    { 'down-input': 9, key: 20 },
    { 'down-input': 12, key: 8.5 },
  ]);
  const { layers } = tree({ activations: measured });
  assert.deepEqual(
    layers.map(({ worst }) => worst?.site),
    ['down-input', 'down-input', 'key'],
  );
  assert.deepEqual(
    sortByError(layers).map(({ layer }) => layer),
    [2, 1, 0],
  );
  assert.deepEqual(
    layers.flatMap(badSites).map(({ layer, site }) => `${layer} ${site}`),
    ['1 down-input', '2 key'],
  );
  const fine = activations(Array.from({ length: 32 }, (_, layer) => ({ 'down-input': 42 - layer })));
  assert.deepEqual(
    tree({ activations: fine }).layers.flatMap(badSites),
    [],
    'the last of many is not bad for that',
  );
  const [lost] = fine.sites;
  const worse = { ...fine, sites: [{ ...lost!, before: statistics(44) }, ...fine.sites.slice(1)] };
  assert.deepEqual(
    tree({ activations: worse })
      .layers.flatMap(badSites)
      .map(({ layer }) => layer),
    [0],
    'rotation took some away',
  );
});

test('the filter takes a layer number, a name of a site, or a bound in dB', () => {
  const { layers } = tree({ activations: activations([{ 'down-input': 17, key: 20 }, { 'down-input': 9 }]) });
  const names: Partial<Record<Site, string>> = { 'down-input': 'down input', key: 'keys' };
  const left = (filter: string) =>
    filterLayers(layers, filter, (site) => names[site] ?? site).map(
      ({ layer, sites }) => `${layer}: ${sites.map(({ site }) => site).join(' ')}`,
    );
  assert.deepEqual(left(''), ['0: key down-input', '1: down-input']);
  assert.deepEqual(left('1'), ['1: down-input']);
  assert.deepEqual(left('Keys'), ['0: key']);
  assert.deepEqual(left('<18'), ['0: down-input', '1: down-input']);
  assert.deepEqual(left('< 9.5 dB'), ['1: down-input']);
  assert.deepEqual(left('nothing'), []);
});

const CELL = { bits: '4-4-4', method: 'rtn', title: 'RTN', seed: 0, seeded: false, key: 'k', inputs: null };

function cellOf(id: string): RunSummary {
  const { run, ...rest } = summary({ id, settings: { rotation: { r1: 'none', r2: 'none' } }, perplexity: 7 });
  return { ...rest, run: new Run(run.dir, { ...run.record, cell: CELL }) };
}

function subject(input: Partial<SubjectInput>, files: Readonly<Record<string, string>> = {}) {
  const has: SubjectInput['has'] = ({ run }, name) => files[run.record.id]?.includes(name) ?? false;
  return subjectOf({ summaries: [], isTable: true, job: null, has, ...input });
}

test('of a table the tree is about one cell: the one at work, else the newest that was measured', () => {
  const [newest, older, own] = [cellOf('newest'), cellOf('older'), summary({ id: 'own' })];
  const summaries = [newest, own, older];
  assert.deepEqual(subject({}), { measured: null, cell: null, progress: 'none' });
  assert.equal(subject({ summaries }).cell, newest);
  assert.deepEqual(subject({ summaries }, { older: 'activations, rotations', own: 'activations' }), {
    ...{ measured: older, cell: older, progress: 'merged' },
  });
  const job = { id: 'job-1', kind: 'optimize', experiment: FILE, state: 'running', message: null } as const;
  const atWork = { ...job, runDir: newest.run.dir };
  assert.deepEqual(subject({ summaries, job: atWork }, { older: 'activations' }), {
    ...{ measured: null, cell: newest, progress: 'learning' },
  });
  const { settings, progress } = { settings: newest.experiment, progress: 'learning' as const };
  assert.deepEqual(states({ settings, progress }).slice(0, 2), ['none', 'none'], 'RTN learns nothing');
  assert.deepEqual(states({ settings: null }), [], 'before the first cell there are no maps to show');
});

test('of an experiment without a matrix cells tell nothing; it learns until its rotations are there', () => {
  const [cell, own] = [cellOf('cell'), summary({ id: 'own' })];
  const given = { summaries: [cell, own], isTable: false };
  assert.deepEqual(subject(given, { cell: 'activations, rotations' }), {
    ...{ measured: null, cell: null, progress: 'none' },
  });
  assert.equal(subject(given, { own: 'rotations' }).progress, 'learned', 'without results');
  const job = { id: 'job-1', kind: 'optimize', experiment: FILE, state: 'running', message: null } as const;
  assert.equal(
    subject({ ...given, job: { ...job, runDir: null } }, { own: 'rotations' }).progress,
    'learning',
  );
  const atWork = { ...job, runDir: own.run.dir };
  assert.equal(subject({ ...given, job: atWork }).progress, 'learning');
  assert.equal(subject({ ...given, job: atWork }, { own: 'rotations' }).progress, 'learned');
});
