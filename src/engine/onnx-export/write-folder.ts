import { existsSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { writeJson, writeModelFolder } from '../model/model-folder.ts';
import type { Network } from '../network/network.ts';
import { genaiConfig, type SpecialTokens } from './genai-config.ts';
import { limitsOf } from './limits.ts';
import { DATA_FILE, MODEL_FILE, type TableChoice, writeStockModel } from './stock-model.ts';

const GENAI_FILE = 'genai_config.json';
const REPORT_FILE = 'export.json';

/** Files of a model that tokenizers, chat templates and end tokens are read from. */
const TEXT_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'generation_config.json',
];

export interface StockExport {
  readonly cache: ProgramCache;
  readonly network: Network;
  readonly tables: TableChoice;
  readonly tokens: SpecialTokens;
  /** What the report says of where the model comes from. */
  readonly origin: Readonly<Record<string, unknown>>;
}

/** What is in an exported folder, `export.json`. */
export interface StockReport {
  readonly target: 'stock';
  /** Bits of the tables of tokens. */
  readonly embeddings: number;
  readonly head: number;
  readonly contextLength: number;
  /** Nodes of each operator. */
  readonly operators: Readonly<Record<string, number>>;
  /** Bytes of each file. */
  readonly files: Readonly<Record<string, number>>;
  /** What the model does otherwise than the network it was made of. */
  readonly notes: readonly string[];
}

/**
 * Writes a folder that unmodified ONNX Runtime and onnxruntime-genai run. It appears whole or not at all.
 * @throws UserError `export/…`, `file/unwritable`.
 */
export async function writeStockFolder(
  out: string,
  { cache, network, tables, tokens, origin }: StockExport,
  signal?: AbortSignal,
): Promise<StockReport> {
  const { config, dir } = network.checkpoint;
  let report: StockReport | null = null;
  await writeModelFolder(out, async (folder) => {
    const { operators, contextLength } = await writeStockModel(folder, { cache, network, tables }, signal);
    await writeJson(join(folder, GENAI_FILE), genaiConfig(config, contextLength, tokens));
    const texts = TEXT_FILES.filter((name) => existsSync(join(dir, name)));
    for (const name of texts) {
      const path = join(folder, name);
      await writing(path, () => copyFile(join(dir, name), path));
    }
    const sizes = [MODEL_FILE, DATA_FILE, GENAI_FILE, ...texts].map((name): [string, number] => [
      name,
      statSync(join(folder, name)).size,
    ]);
    report = {
      target: 'stock',
      ...tables,
      contextLength,
      operators,
      files: Object.fromEntries(sizes),
      notes: limitsOf(network),
    };
    await writeJson(join(folder, REPORT_FILE), { ...origin, ...report });
  });
  if (report === null) throw new Error('the folder was written without a report');
  return report;
}
