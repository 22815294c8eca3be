import { existsSync } from 'node:fs';
import { UserError } from '../../protocol/errors.ts';
import { loadEngine } from '../engine.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';

export interface DownloadFlags {
  readonly split?: string;
}

/** Fetches a model, a part of a data set, or all that an experiment names. */
export async function download(name: string, flags: DownloadFlags, output: Output): Promise<undefined> {
  const engine = await loadEngine();
  const { split } = flags;
  const isFile = existsSync(name) && name.endsWith('.json');
  if (isFile && split !== undefined)
    throw new UserError(
      'cli/not-used',
      `${name} is an experiment, which names its splits: --split would not be used.`,
      'Leave --split out.',
    );
  const files = await interruptible(output, async (signal) => {
    if (!isFile) return follow(engine.fetchNamed(name, split ?? null, signal), output);
    // All that any job of the experiment reads.
    const experiment = await engine.loadExperiment(name, 'edit');
    await follow(engine.fetchSources(experiment, 'edit', signal), output);
    return [];
  });
  output.document({ name, files });
  output.result(isFile ? `All that ${name} names is on this disk.` : files.join('\n'));
}
