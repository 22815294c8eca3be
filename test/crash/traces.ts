/** What a run leaves behind, to the bit, without what depends on the clock. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { openRun, RUN_FILES } from '../../src/runs/index.ts';

export interface Traces {
  /** By file and tensor, in hexadecimal. */
  readonly tensors: Readonly<Record<string, string>>;
  readonly results: object;
  readonly steps: readonly number[];
}

function tensorsIn(dir: string, file: string): [string, string][] {
  const { tensors } = readSafetensorsHeader(join(dir, file));
  return [...tensors].map(([name, tensor]) => {
    const { data } = readTensor(tensor);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return [`${file} ${name} [${tensor.dims}] ${tensor.dtype}`, bytes.toString('hex')];
  });
}

export async function readTraces(dir: string): Promise<Traces> {
  const run = await openRun(dir);
  assert.equal(run.record.status, 'finished', `${dir} is ${run.record.status}`);
  const { seconds, measuredAt, peakBytes, ...results } = await run.readResults();
  const rounded = join(dir, RUN_FILES.rounded);
  const layers = existsSync(rounded)
    ? readdirSync(rounded).filter((name) => name.endsWith('.safetensors'))
    : [];
  const files = [RUN_FILES.rotations, ...layers.sort().map((name) => join(RUN_FILES.rounded, name))];
  const events = await run.readEvents();
  // Each line is whole, and so is what the panels draw.
  JSON.parse(readFileSync(join(dir, RUN_FILES.activations), 'utf8'));
  return {
    tensors: Object.fromEntries(files.flatMap((file) => tensorsIn(dir, file))),
    results,
    steps: events.flatMap((event) => (event.type === 'step' ? [event.step] : [])),
  };
}
