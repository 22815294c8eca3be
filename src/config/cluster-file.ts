/** The settings of a cluster in a file of their own, for experiments of several people or sites. */
import { readFile } from 'node:fs/promises';
import { type ParseError, parse } from 'jsonc-parser';
import { reading } from '../disk/faults.ts';
import { UserError } from '../protocol/errors.ts';
import { type Cluster, clusterSchema } from './schema-cluster.ts';

/**
 * Reads the value of `cluster` from a file: JSON with comments and trailing commas.
 * @throws UserError `cluster/file` with every fault, `file/unreadable`.
 */
export async function readClusterFile(path: string): Promise<Cluster> {
  const text = await reading(path, () => readFile(path, 'utf8'), {
    hint: 'It holds what stands under "cluster" in an experiment: { "scheduler": "slurm", "partition": … }.',
  });
  const errors: ParseError[] = [];
  const value: unknown = parse(text, errors, { allowTrailingComma: true });
  if (errors.length > 0) throw fault(`${path} is no JSON (character ${errors[0]?.offset}).`);
  const result = clusterSchema.safeParse(value);
  if (result.success) return result.data;
  const list = result.error.issues.map(
    ({ path: key, message }) => `${key.join('.') || 'the file'}: ${message}`,
  );
  throw fault(`${path} does not describe a cluster: ${list.join('; ')}.`);
}

function fault(message: string): UserError {
  const hint = '`spinquant schema` describes the keys of "cluster"; docs/cluster.md has an example.';
  return new UserError('cluster/file', message, hint);
}
