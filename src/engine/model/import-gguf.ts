import { join } from 'node:path';
import { readGgufModel } from '../../formats/gguf-parts.ts';
import { writeModelWeights } from '../../formats/safetensors-shards.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { parseModelConfig } from './config.ts';
import { buildGgufConfig } from './gguf/config.ts';
import { GgufFields } from './gguf/fields.ts';
import type { DequantizedDType } from './gguf/tensors.ts';
import { convertGgufTensors, modelDType } from './gguf/tensors.ts';
import type { GgufTokenizer } from './gguf/tokenizer.ts';
import { buildGgufTokenizer } from './gguf/tokenizer.ts';
import { newModelFolder, writeJson, writeModelFolder } from './model-folder.ts';
import type { ImportProgress } from './reported-tensors.ts';
import { reported } from './reported-tensors.ts';
import type { SpecialToken } from './tokenizer-json.ts';

export type { DequantizedDType } from './gguf/tensors.ts';

export interface ImportGgufOptions extends ImportProgress {
  /** Of a model in several files, any. */
  readonly file: string;
  /** The folder to make may exist if it is empty. */
  readonly out: string;
  /**
   * The dtype of tensors that are quantized in the file. float32 (default) holds their values exactly; bfloat16 rounds
   * them to 8 bits of precision in half the space. F32, F16 and BF16 tensors keep their bits in either case.
   */
  readonly dtype?: DequantizedDType | undefined;
  /** No weight file is longer than this many bytes; for tests. */
  readonly shardBytes?: number | undefined;
}

export interface ImportGgufSummary {
  /** Absolute path of the new folder. */
  readonly dir: string;
  readonly parameters: number;
  /** Each warning tells the person about something that the file leaves open. */
  readonly warnings: readonly string[];
}

/**
 * Converts a GGUF model to a Hugging Face folder: config.json, safetensors, tokenizer.json, tokenizer_config.json,
 * generation_config.json. One tensor is in memory at a time; the folder appears whole or not at all.
 * @throws UserError `gguf/…`, `import/…`; Cancelled.
 */
export async function importGguf(options: ImportGgufOptions): Promise<ImportGgufSummary> {
  const out = newModelFolder(options.out);
  const dequantized = options.dtype ?? 'float32';
  const file = await readGgufModel(options.file);
  const fields = new GgufFields(file);
  const json = buildGgufConfig(file, modelDType(file, dequantized));
  const config = parseModelConfig(options.file, JSON.stringify(json));
  const tensors = convertGgufTensors(file, config, dequantized);
  const tokenizer = buildGgufTokenizer(fields, config.vocabSize);
  const ids = specialIds(tokenizer);
  await writeModelFolder(out, async (folder) => {
    await writeJson(join(folder, 'config.json'), { ...json, ...ids });
    await writeJson(join(folder, 'generation_config.json'), { ...ids, ...endOfGeneration(tokenizer) });
    await writeJson(join(folder, 'tokenizer.json'), tokenizer.json);
    await writeJson(join(folder, 'tokenizer_config.json'), tokenizerConfig(tokenizer, config.maxPositions));
    await writeModelWeights(folder, reported(tensors, options), options.shardBytes);
  });
  const parameters = Object.values(tensors).reduce((sum, { dims }) => sum + elementCount(dims), 0);
  return { dir: out, parameters, warnings: tokenizer.warnings };
}

/** Returns the ids of the special tokens that the file names. */
function specialIds({ vocabulary }: GgufTokenizer): Record<string, number> {
  const { bos, eos, padding } = vocabulary;
  return known({ bos_token_id: bos?.id, eos_token_id: eos?.id, pad_token_id: padding?.id });
}

/** Generation also stops at the end of a turn. */
function endOfGeneration({ vocabulary: { eos, eot } }: GgufTokenizer): object {
  return eos && eot ? { eos_token_id: [eos.id, eot.id] } : {};
}

function tokenizerConfig(tokenizer: GgufTokenizer, maxPositions: number): object {
  const { bos, eos, unknown, padding, chatTemplate } = tokenizer.vocabulary;
  const content = (token: SpecialToken | null): string | undefined => token?.content;
  return known({
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: content(bos),
    eos_token: content(eos),
    unk_token: content(unknown),
    pad_token: content(padding),
    add_bos_token: tokenizer.addBos,
    add_eos_token: tokenizer.addEos,
    model_max_length: maxPositions,
    clean_up_tokenization_spaces: false,
    chat_template: chatTemplate,
  });
}

/** Removes the keys that have no value. */
function known<T>(object: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Record<
    string,
    T
  >;
}
