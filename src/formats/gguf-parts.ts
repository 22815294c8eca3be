/** GGUF models in several files, as llama-gguf-split divides them. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../protocol/errors.ts';
import { type GgufFile, type GgufTensor, readGguf } from './gguf.ts';

/** llama.cpp finds the parts of a model by this ending of their names. */
const PART = /-(\d{5})-of-(\d{5})\.gguf$/;
const COUNT = 'split.count';
const NUMBER = 'split.no';

/**
 * Reads a model from one file or from all its parts, of which any may be named. The first part has the metadata.
 * @throws UserError `gguf/split` for a part that is missing, has another name or belongs to another model, and those of
 * {@link readGguf}.
 */
export async function readGgufModel(path: string): Promise<GgufFile> {
  const named = await readGguf(path);
  const count = numberAt(named, COUNT);
  if (count <= 1) return named;
  const paths = partPaths(named, count);
  const tensors = new Map<string, GgufTensor>();
  let first = named;
  for (const [i, part] of paths.entries()) {
    const file = part === path ? named : await readGguf(part);
    if (i === 0) first = file;
    if (numberAt(file, NUMBER) !== i || numberAt(file, COUNT) !== count)
      throw fault(part, `says that it is part ${numberAt(file, NUMBER) + 1} of ${numberAt(file, COUNT)}`);
    for (const [name, tensor] of file.tensors) {
      if (tensors.has(name)) throw fault(part, `has the tensor ${name}, which another part has too`);
      tensors.set(name, tensor);
    }
  }
  const announced = numberAt(first, 'split.tensors.count');
  if (announced > 0 && announced !== tensors.size)
    throw fault(first.path, `announces ${announced} tensors; the parts have ${tensors.size}`);
  const sizeBytes = first.sizeBytes;
  return { path: first.path, sizeBytes, metadata: first.metadata, tensors };
}

function numberAt({ metadata }: GgufFile, key: string): number {
  const value = Number(metadata.get(key) ?? 0);
  return Number.isSafeInteger(value) ? value : 0;
}

function partPaths({ path }: GgufFile, count: number): string[] {
  const match = PART.exec(path);
  const padded = (n: number): string => String(n).padStart(5, '0');
  if (!match || Number(match[2]) !== count)
    throw fault(
      path,
      `is one of ${count} parts, and its name does not end in -00001-of-${padded(count)}.gguf`,
    );
  const stem = basename(path).slice(0, -match[0].length);
  const paths = Array.from({ length: count }, (_, i) =>
    join(dirname(path), `${stem}-${padded(i + 1)}-of-${padded(count)}.gguf`),
  ).map((each) => (basename(each) === basename(path) ? path : each));
  const missing = paths.find((each) => !existsSync(each));
  if (missing !== undefined) throw fault(path, `is one of ${count} parts, and ${missing} is missing`);
  return paths;
}

function fault(path: string, problem: string): UserError {
  return new UserError(
    'gguf/split',
    `${path} ${problem}.`,
    'Keep all parts of one model in a folder under the names that they were given, or join them: llama-gguf-split --merge FIRST-PART OUT.gguf.',
  );
}
