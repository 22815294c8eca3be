import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import { UserError } from '../protocol/errors.ts';
import { readingNow } from './faults.ts';
import { type FileKind, HEAD_BYTES, type KindName, kindOfBytes } from './kinds.ts';

/** Says what a file should be, and which kinds may be it. */
interface Wanted {
  readonly words: string;
  readonly kinds: readonly KindName[];
}

const WANTED = {
  safetensors: { words: 'a safetensors file', kinds: ['safetensors', 'binary', 'empty'] },
  gguf: { words: 'a GGUF file', kinds: ['gguf', 'binary', 'empty'] },
  torch: { words: 'a file of torch.save', kinds: ['torch', 'zip', 'binary', 'empty'] },
  rotations: {
    words: 'a file of rotations (safetensors, or R.bin)',
    kinds: ['safetensors', 'torch', 'zip', 'binary', 'empty'],
  },
  weights: { words: 'a GGUF file or a llama2.c checkpoint', kinds: ['gguf', 'llama2c', 'binary', 'empty'] },
  binary: { words: 'a file of llama2.c', kinds: ['llama2c', 'binary', 'empty'] },
  json: { words: 'a JSON file', kinds: ['json', 'text', 'empty'] },
  experiment: { words: 'an experiment file (*.spinquant.json)', kinds: ['json', 'text', 'empty'] },
  text: { words: 'a text in UTF-8', kinds: ['text', 'json', 'hub-answer', 'empty'] },
  gzip: { words: 'a gzip file', kinds: ['packed', 'binary', 'empty'] },
  parquet: { words: 'a parquet file', kinds: ['parquet', 'binary', 'empty'] },
} as const satisfies Readonly<Record<string, Wanted>>;

export type WantedKind = keyof typeof WANTED;

/** Looks at what lies at a path. Pipes and devices are not opened: they may never answer. */
export function fileKind(path: string): FileKind {
  const stats = readingNow(path, () => statSync(path, { throwIfNoEntry: false }));
  if (stats === undefined) return missingKind(path);
  if (!stats.isFile()) return specialKind(stats);
  const file = readingNow(path, () => openSync(path, 'r'));
  try {
    const head = new Uint8Array(HEAD_BYTES);
    const length = readingNow(path, () => readSync(file, head, 0, HEAD_BYTES, 0));
    return kindOfBytes(head.subarray(0, length), fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

function missingKind(path: string): FileKind {
  const link = lstatSync(path, { throwIfNoEntry: false });
  if (!link?.isSymbolicLink()) return { name: 'missing', words: 'not there', todo: 'Check the path.' };
  return {
    name: 'link-to-nowhere',
    words: `a link to ${readlinkSync(path)}, which is not there`,
    todo: 'Download the file again: a download cache keeps files behind links, and was cleared or moved.',
  };
}

function specialKind(stats: Stats): FileKind {
  if (stats.isDirectory()) return { name: 'folder', words: 'a folder', todo: 'Name a file in it.' };
  const words = stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  return { name: 'pipe', words, todo: 'Write what it gives to a file first: it is read more than once.' };
}

/**
 * Returns the fault where a file is plainly of another kind than wanted; null where it may be right.
 * @returns UserError `file/kind`.
 */
export function kindFault(path: string, wanted: WantedKind): UserError | null {
  const { words, kinds }: Wanted = WANTED[wanted];
  const found = fileKind(path);
  // Whoever opens the file says best that it is missing.
  if (kinds.includes(found.name) || found.name === 'missing') return null;
  return new UserError(
    'file/kind',
    `${path} is ${found.words}; ${words} is expected.`,
    found.todo || OTHERWISE[wanted],
  );
}

/** These hints help where the kind that was found has none. */
const OTHERWISE: Readonly<Record<WantedKind, string>> = {
  safetensors: 'Save it as safetensors (save_pretrained in transformers does), or download it again.',
  gguf: 'Check the path, or download it again.',
  torch: 'Load it and save it again with a current version of torch.',
  rotations: 'Name a run folder, its rotations.safetensors, or an R.bin.',
  weights:
    'A folder with config.json and safetensors needs no import: name it as the "model" of an experiment.',
  binary: 'Check the path, or download it again.',
  json: 'Download it again.',
  experiment:
    'Name a file like examples/demo/quick.spinquant.json; spinquant schema prints what it may hold.',
  text: 'Write the text to a UTF-8 file.',
  gzip: 'Leave .gz out of its name if it is not packed, or download it again.',
  parquet: 'Check the path, or download it again.',
};

/** @throws the {@link kindFault} of the file, if there is one. */
export function expectKind(path: string, wanted: WantedKind): void {
  const fault = kindFault(path, wanted);
  if (fault !== null) throw fault;
}
