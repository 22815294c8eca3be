import type { CheckpointFormatName } from '../../protocol/export-formats.ts';
import type { CheckpointFormat } from './format.ts';

/** The format of a name, whose code is loaded when it is first asked for. */
export async function checkpointFormat(name: CheckpointFormatName): Promise<CheckpointFormat> {
  const module: unknown = await import(`./formats/${name}.ts`);
  // The registry's test holds that each module exports its format.
  return (module as { readonly format: CheckpointFormat }).format;
}
