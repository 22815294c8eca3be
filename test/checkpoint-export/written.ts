/** Golden models with rotations, written as checkpoints. */
import type { TestContext } from 'node:test';
import { checkpointFormat } from '../../src/engine/checkpoint-export/index.ts';
import type { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { ProgramCache as Cache } from '../../src/engine/graph/program-cache.ts';
import type { Checkpoint } from '../../src/engine/model/checkpoint.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { CheckpointFormatName } from '../../src/protocol/export-formats.ts';
import { CHECKPOINT_DEFAULTS, type CheckpointSettings } from '../../src/protocol/export-plan.ts';
import { temporaryFolder } from '../formats/support.ts';
import { goldenFolder } from '../model/goldens.ts';

export async function openGolden(name: string): Promise<{ cache: ProgramCache; checkpoint: Checkpoint }> {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  return { cache: new Cache(runtime), checkpoint: await openCheckpoint(goldenFolder(name)) };
}

const NO_TOKENIZER = {
  bosId: null,
  eosId: null,
  addsBos: false,
  unknownId: null,
  vocabSize: 0,
  encode: () => new Int32Array(),
  decode: () => '',
};

export const settingsOf = (
  format: CheckpointFormatName,
  more: Partial<CheckpointSettings> = {},
): CheckpointSettings => ({ ...CHECKPOINT_DEFAULTS, dtype: 'float32', format, ...more });

/** The network as a folder, and the network of what was read back from it. */
export async function written(
  t: TestContext,
  cache: ProgramCache,
  network: Network,
  settings: CheckpointSettings,
) {
  const folder = temporaryFolder(t);
  const format = await checkpointFormat(settings.format);
  const model = { cache, network, tokenizer: NO_TOKENIZER, ends: [], settings };
  const files = await format.write(folder, model);
  const back = await format.readBack(folder, model, temporaryFolder(t));
  if (back === null) throw new Error('a golden model is short');
  return { folder, files, back, format };
}
