import { experimentJsonSchema } from '../../config/index.ts';

/** The schema is always JSON, with or without `--json`. */
export async function schema(): Promise<undefined> {
  process.stdout.write(`${JSON.stringify(experimentJsonSchema(), null, 2)}\n`);
}
