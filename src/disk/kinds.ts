/** Kinds of files by their first bytes, and what to do where one is met in the place of another. */

/** A kind in words, as "a GGUF file", with what helps whoever has it in the wrong place. */
export interface FileKind {
  readonly name: KindName;
  readonly words: string;
  /** An empty text where nothing is known. */
  readonly todo: string;
}

export type KindName =
  | 'lfs-pointer'
  | 'annex-pointer'
  | 'html'
  | 'hub-answer'
  | 'safetensors'
  | 'gguf'
  | 'torch'
  | 'pickle'
  | 'parquet'
  | 'numpy'
  | 'hdf5'
  | 'packed'
  | 'zip'
  | 'media'
  | 'utf16'
  | 'llama2c'
  | 'json'
  | 'text'
  | 'binary'
  | 'empty'
  | 'folder'
  | 'pipe'
  | 'link-to-nowhere'
  | 'missing';

const UNPACK = (tool: string): string => `Unpack it first: ${tool}.`;
const FETCH = 'Fetch the file itself: git lfs pull, in the folder that it was cloned to.';
const CONVERT =
  'Convert it with transformers: from_pretrained(folder).save_pretrained(folder) writes safetensors.';

interface Magic extends FileKind {
  readonly bytes: readonly number[];
  readonly at?: number;
}

const ascii = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));

const magic = (name: KindName, bytes: readonly number[], words: string, todo: string, at = 0): Magic => ({
  name,
  bytes,
  words,
  todo,
  at,
});

const MAGICS: readonly Magic[] = [
  magic('gguf', ascii('GGUF'), 'a GGUF file', 'Make a model folder of it first: spinquant import FILE.'),
  magic(
    'parquet',
    ascii('PAR1'),
    'a parquet file',
    'As a text, a parquet file has a name that ends in .parquet.',
  ),
  magic('numpy', [0x93, ...ascii('NUMPY')], 'a NumPy array', 'Save it as safetensors.'),
  magic('hdf5', [0x89, ...ascii('HDF')], 'an HDF5 file', CONVERT),
  magic('packed', [0x1f, 0x8b], 'a gzip file', UNPACK('gunzip FILE')),
  magic('packed', [0xfd, ...ascii('7zXZ')], 'an xz file', UNPACK('unxz FILE')),
  magic('packed', [0x28, 0xb5, 0x2f, 0xfd], 'a Zstandard file', UNPACK('unzstd FILE')),
  magic('packed', ascii('BZh'), 'a bzip2 file', UNPACK('bunzip2 FILE')),
  magic('packed', ascii('7z\u00bc\u00af'), 'a 7-Zip archive', UNPACK('7z x FILE')),
  magic('packed', ascii('ustar'), 'a tar archive', UNPACK('tar -xf FILE'), 257),
  magic('media', ascii('%PDF'), 'a PDF', 'Write its text to a UTF-8 text file.'),
  magic('media', [0x89, ...ascii('PNG')], 'a PNG picture', ''),
  magic('media', [0xff, 0xd8, 0xff], 'a JPEG picture', ''),
  magic(
    'llama2c',
    ascii('24ka'),
    'a llama2.c checkpoint',
    'Make a model folder of it first: spinquant import FILE --tokenizer FILE.',
  ),
  magic('pickle', [0x80, 0x02], 'a pickle (PyTorch before 1.6, or another program)', ''),
  magic('pickle', [0x80, 0x03], 'a pickle', ''),
  magic('pickle', [0x80, 0x04], 'a pickle', ''),
  magic('pickle', [0x80, 0x05], 'a pickle', ''),
  magic('utf16', [0xff, 0xfe], 'a UTF-16 text', 'Write it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE.'),
  magic('utf16', [0xfe, 0xff], 'a UTF-16 text', 'Write it as UTF-8: iconv -f UTF-16 -t UTF-8 FILE.'),
];

const TEXTS: readonly (FileKind & { readonly pattern: RegExp })[] = [
  {
    name: 'lfs-pointer',
    pattern: /^version https:\/\/git-lfs/,
    words: 'a Git LFS pointer, not the file itself',
    todo: FETCH,
  },
  {
    name: 'lfs-pointer',
    pattern: /^version https:\/\/hawser|^# xet version/,
    words: 'a pointer to large-file storage, not the file itself',
    todo: FETCH,
  },
  {
    name: 'annex-pointer',
    pattern: /^\/annex\/objects\//,
    words: 'a git-annex pointer, not the file itself',
    todo: 'Fetch the file itself: git annex get FILE.',
  },
  {
    name: 'html',
    pattern: /^\s*(<!doctype html|<html|<head|<\?xml)/i,
    words: 'a web page, not the file itself',
    todo: 'The download got a page instead of the file: take the link of "download" (…/resolve/…), and log in where the model is gated.',
  },
  {
    name: 'hub-answer',
    pattern:
      /^\s*(Entry not found|Repository not found|Invalid (username|credentials|rev)|Access to model|Unauthorized|Forbidden|Not Found|\{"error":)/i,
    words: 'the answer of a server, not the file itself',
    todo: 'The download failed: look at the name and the access of the model, and download it again.',
  },
];

const LOCAL_HEADER = [0x50, 0x4b, 0x03, 0x04];

function begins(bytes: Uint8Array, expected: readonly number[], at = 0): boolean {
  return bytes.length >= at + expected.length && expected.every((byte, i) => bytes[at + i] === byte);
}

/** So many bytes of a file tell its kind. */
export const HEAD_BYTES = 1024;

/** @param head the first {@link HEAD_BYTES} of a file. @param sizeBytes of the whole file. */
export function kindOfBytes(head: Uint8Array, sizeBytes: number): FileKind {
  if (sizeBytes === 0) return { name: 'empty', words: 'empty', todo: 'Copy or download it again.' };
  if (isSafetensors(head, sizeBytes)) return { name: 'safetensors', words: 'a safetensors file', todo: '' };
  const found = MAGICS.find(({ bytes, at }) => begins(head, bytes, at));
  if (found) return found;
  if (begins(head, LOCAL_HEADER)) return zipKind(head);
  return textKind(head, sizeBytes);
}

/** Eight bytes give the length of the header, which is JSON. */
function isSafetensors(head: Uint8Array, sizeBytes: number): boolean {
  if (head.length < 10 || head[8] !== 0x7b) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  return view.getBigUint64(0, true) <= BigInt(sizeBytes - 8);
}

/** The first entry of an archive of `torch.save` is called NAME/data.pkl. */
function zipKind(head: Uint8Array): FileKind {
  const text = new TextDecoder('latin1').decode(head.subarray(0, 300));
  return text.includes('/data.pkl')
    ? { name: 'torch', words: 'a PyTorch file', todo: CONVERT }
    : { name: 'zip', words: 'a zip archive', todo: UNPACK('unzip FILE') };
}

function textKind(head: Uint8Array, sizeBytes: number): FileKind {
  const text = new TextDecoder().decode(head);
  const known = TEXTS.find(({ pattern }) => pattern.test(text));
  if (known && (known.name !== 'hub-answer' || sizeBytes <= HEAD_BYTES)) return known;
  // The last character may be cut in two.
  if (head.includes(0) || text.slice(0, -4).includes('\ufffd'))
    return { name: 'binary', words: 'a binary file', todo: '' };
  return /^\ufeff?\s*[{[]/.test(text)
    ? { name: 'json', words: 'a JSON file', todo: '' }
    : { name: 'text', words: 'a text', todo: '' };
}
