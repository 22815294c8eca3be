/** Files of a run folder: each is damaged alone, and read by all that reads it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadExperiment, runToResume } from '../../../src/engine/index.ts';
import { preparedTensors } from '../../../src/engine/network/rounded-weights.ts';
import { checkpointStep, readCheckpoint } from '../../../src/engine/plan/learning-checkpoint.ts';
import { claimRun } from '../../../src/engine/plan/resume.ts';
import { orthogonalityError } from '../../../src/engine/rotation/orthogonal.ts';
import { RoundedLayers } from '../../../src/engine/rounding/rounded-layers.ts';
import { layerTree } from '../../../src/extension/layers/model.ts';
import { readTensor, toFloat32 } from '../../../src/formats/tensor-io.ts';
import { LINEARS } from '../../../src/protocol/block.ts';
import { listRuns, openRun, RUN_FILES, type Run } from '../../../src/runs/index.ts';
import { layersOf, resultsOf, trainingOf } from '../../webview/states.ts';
import { SIZES } from '../fixtures/model.ts';
import { EXPECTED_CHECKPOINT, KEY, PANEL_PART, PANEL_TYPES, panelsIn, SHAPES } from '../fixtures/run.ts';
import type { Workspace } from '../fixtures/workspace.ts';
import type { Mutation } from '../mutations/bytes.ts';
import { mutateSafetensors } from '../mutations/containers.ts';
import { mutateJson, mutateJsonLines } from '../mutations/json.ts';
import { expectNoBug } from './command-line.ts';
import { expectFinite, expectSane, type Format } from './format.ts';

/** @param file path in the run folder. */
function runFile(
  name: string,
  file: string,
  mutate: Mutation,
  read: (run: Run, workspace: Workspace) => Promise<void>,
): Format {
  return {
    name,
    async open(workspace) {
      const path = join(workspace.run, file);
      const original = readFileSync(path);
      return {
        originals: [original],
        mutate,
        async read(input) {
          writeFileSync(path, input);
          await read(await openRun(workspace.run), workspace);
        },
      };
    },
  };
}

const record: Format = {
  name: 'run',
  async open({ dir, run, experiment }) {
    const path = join(run, RUN_FILES.run);
    const original = readFileSync(path);
    return {
      originals: [original],
      mutate: mutateJson,
      async read(input) {
        writeFileSync(path, input);
        const list = await listRuns(join(dir, 'runs'));
        expectSane(list.runs.length + list.damaged.length === 1, 'a run is neither listed nor damaged');
        await expectNoBug('runs', join(dir, 'runs'));
        await expectNoBug('runs', join(dir, 'runs'), '--json');
        await runToResume(await loadExperiment(experiment, 'optimize'), run);
      },
    };
  },
};

const storedExperiment = runFile(
  'run-experiment',
  RUN_FILES.experiment,
  mutateJson,
  async (run, { experiment }) => {
    await run.readExperiment();
    await runToResume(await loadExperiment(experiment, 'optimize'), run.dir);
  },
);

const events = ((): Format => {
  const format = runFile('events', RUN_FILES.events, mutateJsonLines, async (run) => {
    await trainingOf(run.dir);
    const claimed = await claimRun(run.dir, false);
    claimed.run.finish('cancelled');
    expectSane(
      Number.isInteger(claimed.fromStep) && claimed.fromStep >= 0,
      `resumed from step ${claimed.fromStep}`,
    );
  });
  return {
    ...format,
    async open(workspace) {
      const record = readFileSync(join(workspace.run, RUN_FILES.run));
      const target = await format.open(workspace);
      return {
        ...target,
        async read(input) {
          writeFileSync(join(workspace.run, RUN_FILES.run), record);
          await target.read(input);
        },
      };
    },
  };
})();

const results = runFile('results', RUN_FILES.results, mutateJson, async (run, { dir }) => {
  await expectNoBug('runs', join(dir, 'runs'));
  const file = await run.readResults();
  for (const { name, windows, tokens } of file.perplexity) {
    expectSane(typeof name === 'string', 'a text without a name');
    expectSane(windows >= 0 && tokens >= 0, `${name}: ${windows} windows, ${tokens} tokens`);
  }
  await resultsOf([run.dir], [run.dir, run.dir]);
});

const activations = runFile('activations', RUN_FILES.activations, mutateJson, async (run) => {
  const { layers, depth } = await layersOf(run.dir);
  expectSane(Number.isSafeInteger(layers) && layers < 100_000, `${layers} layers in the panel`);
  const experiment = await run.readExperiment();
  const tree = layerTree({
    settings: experiment,
    scaled: [],
    model: null,
    activations: await run.readActivations(),
    progress: 'none',
  });
  expectSane(
    tree.layers.length <= 100_000 && depth.length < 1000,
    `${tree.layers.length} layers in the tree`,
  );
});

const checkpoint = runFile('checkpoint', 'checkpoint/state.safetensors', mutateSafetensors, async (run) => {
  const folder = run.path('checkpoint');
  const kept = readCheckpoint(folder, EXPECTED_CHECKPOINT);
  expectSane(kept !== null && kept.step === checkpointStep(folder), 'two steps of one checkpoint');
  for (const map of Object.values(kept?.state ?? {}).flat()) {
    expectFinite(map, 'a map of the checkpoint');
    const error = orthogonalityError(map, Math.sqrt(map.length));
    expectSane(error < 1e-2, `a map of the checkpoint has max |RᵀR − I| = ${error}`);
  }
});

const rounded = runFile('rounded', 'rounded/layer-0000.safetensors', mutateSafetensors, async (run) => {
  const layers = new RoundedLayers(run.path('rounded'), KEY, { sizes: SHAPES, dense: true });
  const kept = layers.record(0);
  // It is made again.
  if (kept === null) return;
  expectSane(Array.isArray(kept.errors) && typeof kept.method === 'string', 'a record of another form');
  const matrices = layers.read(0);
  for (const linear of LINEARS) {
    const [rows, columns] = SHAPES[linear];
    const matrix = matrices[linear];
    expectSane(matrix.rows === rows && matrix.columns === columns, `${linear} is no [${rows}, ${columns}]`);
    for (const tensor of Object.values(preparedTensors(linear, matrix, false))) {
      const values = toFloat32(tensor);
      expectSane(values.length === rows * columns, `${linear} has ${values.length} values`);
      expectFinite(values, linear);
    }
  }
  expectSane(layers.isComplete(SIZES.layers), 'a layer is lost');
});

const packed = runFile('packed', `packed/${PANEL_PART}.safetensors`, mutateSafetensors, async (run) => {
  const kept = await panelsIn(run.path('packed')).read(PANEL_PART, PANEL_TYPES);
  // They are packed again.
  if (kept === null) return;
  for (const { name, dims } of PANEL_TYPES) {
    const tensor = kept[name];
    expectSane(tensor?.kind === 'file' && tensor.dims.join() === dims.join(), `${name} has another shape`);
    if (tensor?.kind === 'file') expectFinite(toFloat32(readTensor(tensor)), name);
  }
});

export const RUN_FORMATS: readonly Format[] = [
  record,
  storedExperiment,
  events,
  results,
  activations,
  checkpoint,
  rounded,
  packed,
];
