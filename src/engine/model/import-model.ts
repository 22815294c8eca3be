/** A model folder of a file that is none: a GGUF file, or a llama2.c checkpoint with its tokenizer. */
import { accessSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { expectKind, fileKind } from '../../disk/file-kind.ts';
import { UserError } from '../../protocol/errors.ts';
import { type ImportProgressEvent, type RunEvent, timed } from '../../protocol/events.ts';
import type { DequantizedDType } from './import-gguf.ts';
import type { ImportProgress } from './reported-tensors.ts';

export interface ImportModelRequest {
  /** The GGUF file or the llama2.c checkpoint. */
  readonly source: string;
  /** Of a llama2.c checkpoint; a GGUF file holds its own. */
  readonly tokenizer?: string | undefined;
  /** The folder to make may exist if it is empty. */
  readonly out: string;
  /** The dtype of tensors that a GGUF file has quantized. */
  readonly dtype?: DequantizedDType | undefined;
}

export interface ImportedModel {
  /** Absolute path of the new folder. */
  readonly dir: string;
  readonly parameters: number;
  /** Each tells the person about something that the file leaves open. */
  readonly warnings: readonly string[];
}

/** Progress is told so often at most. */
const TELL_MS = 100;

/** @throws UserError `import/…`, `file/kind`, `gguf/…`, `llama2c/…`; Cancelled. */
export async function* importModel(
  request: ImportModelRequest,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, ImportedModel> {
  const { source, tokenizer, out } = request;
  readingNow(source, () => accessSync(source, constants.R_OK), { code: 'import/unreadable' });
  expectKind(source, 'weights');
  if (resolve(out) === resolve(source))
    throw new UserError('import/no-folder', `No folder is named for ${source}.`, 'Name it: --out FOLDER.');
  const isGguf = source.endsWith('.gguf') || fileKind(source).name === 'gguf';
  if (isGguf && tokenizer !== undefined)
    throw new UserError(
      'import/tokenizer',
      'A GGUF file holds its tokenizer; --tokenizer is for llama2.c checkpoints.',
      'Leave --tokenizer out.',
    );
  if (!isGguf && tokenizer === undefined)
    throw new UserError(
      'import/no-tokenizer',
      'A llama2.c checkpoint does not hold its tokenizer.',
      'Name it: --tokenizer tokenizer.bin (tok512.bin, tok4096.bin … beside the checkpoint).',
    );
  return yield* told(signal, (progress) =>
    tokenizer === undefined ? fromGguf(request, progress) : fromLlama2c({ ...request, tokenizer }, progress),
  );
}

async function fromGguf(
  { source, out, dtype }: ImportModelRequest,
  progress: ImportProgress,
): Promise<ImportedModel> {
  const { importGguf } = await import('./import-gguf.ts');
  return importGguf({ file: source, out, dtype, ...progress });
}

async function fromLlama2c(
  { source, tokenizer, out }: ImportModelRequest & { readonly tokenizer: string },
  progress: ImportProgress,
): Promise<ImportedModel> {
  const { importLlama2c } = await import('./import-llama2c.ts');
  const { dir, parameters } = await importLlama2c({ checkpoint: source, tokenizer, out, ...progress });
  return { dir, parameters, warnings: [] };
}

/** Turns what an import tells into events: the newest one, as soon as somebody asks. */
async function* told<T>(
  signal: AbortSignal | undefined,
  work: (progress: ImportProgress) => Promise<T>,
): AsyncGenerator<RunEvent, T> {
  let newest: ImportProgressEvent | null = null;
  let [lastTold, isDone] = [Number.NEGATIVE_INFINITY, false];
  let wake = () => {};
  const running = work({
    signal,
    onTensor: (soFar) => {
      const isLast = soFar.tensorsDone === soFar.tensors;
      if (!isLast && performance.now() - lastTold < TELL_MS) return;
      lastTold = performance.now();
      newest = timed({ type: 'import-progress', ...soFar });
      wake();
    },
  }).finally(() => {
    isDone = true;
    wake();
  });
  // A failure is thrown where it is waited for.
  running.catch(() => undefined);
  for (;;) {
    const event: ImportProgressEvent | null = newest;
    newest = null;
    if (event !== null) yield event;
    else if (isDone) return await running;
    else
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  }
}
