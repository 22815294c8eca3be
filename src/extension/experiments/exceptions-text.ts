/** Adds exceptions to the text of an experiment. Knows nothing of the editor. */
import { findNodeAtLocation, getNodeValue, parseTree } from 'jsonc-parser';
import type { Exception } from '../../config/index.ts';
import { withValue } from './fixes.ts';

/** An exception as it is written into an experiment. */
export type ExceptionInput = Partial<Exception>;

const PATH = ['quantization', 'exceptions'];

/**
 * The text with these exceptions behind its own, so that they count. A budget goes: it would choose other ones.
 * @returns null where they stand there already, word for word.
 */
export function withExceptions(text: string, exceptions: readonly ExceptionInput[]): string | null {
  const tree = parseTree(text);
  const node = tree && findNodeAtLocation(tree, PATH);
  const value: unknown = node ? getNodeValue(node) : [];
  const own: readonly unknown[] = Array.isArray(value) ? value : [];
  const present = new Set(own.map((one) => JSON.stringify(one)));
  const added = exceptions.map(plain).filter((one) => !present.has(JSON.stringify(one)));
  if (added.length === 0) return null;
  const written = withValue(text, PATH, [...own, ...added]);
  const hasBudget = tree && findNodeAtLocation(tree, ['quantization', 'budget']) !== undefined;
  return hasBudget ? withValue(written, ['quantization', 'budget'], undefined) : written;
}

/** Sites before layers, as people read it; none of keys and values, which have no sites. */
function plain({ sites, layers, ...parts }: ExceptionInput): object {
  const known = Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined));
  const hasSites = 'activations' in known || 'weights' in known;
  return {
    ...(hasSites && sites !== undefined && { sites }),
    ...(layers !== undefined && { layers }),
    ...known,
  };
}
