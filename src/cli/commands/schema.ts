import { experimentJsonSchema } from '../../config/index.ts';

/** The schema is JSON whether `--json` is given or not. */
export async function schema(): Promise<undefined> {
  process.stdout.write(`${JSON.stringify(experimentJsonSchema(), null, 2)}\n`);
}
