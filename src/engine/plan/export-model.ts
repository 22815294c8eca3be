/** A quantized model as a folder that other runtimes load. */
import { existsSync } from 'node:fs';
import { expectWritable } from '../../disk/faults.ts';
import type { RunEvent } from '../../protocol/events.ts';
import {
  EXPORT_TARGETS,
  type ExportTarget,
  MODEL_FORMATS,
  type ModelFormatName,
  type TableBits,
} from '../../protocol/export-formats.ts';
import type { FolderCheck } from '../../protocol/export-plan.ts';
import { keptWhole, newModelFolder } from '../model/model-folder.ts';
import { expectExpressible } from '../onnx-export/limits.ts';
import {
  addFindings,
  type FolderReport,
  libraryFor,
  writeModelAsFolder,
} from '../onnx-export/write-folder.ts';
import { DATA_FILE } from '../onnx-export/write-model.ts';
import { checkModel } from './check-model.ts';
import { endTokensOf } from './end-tokens.ts';
import { runJob } from './job.ts';
import { folderTable, licenceOf, modelCard } from './model-card.ts';
import { type OpenedWriter, openWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { phase } from './phases.ts';
import { targetOf } from './plan-export.ts';
import { provenanceOf } from './provenance.ts';
import { warningsOf } from './source.ts';
import { targetQuestion } from './stock-run.ts';
import { labelOf, type Workbench } from './workbench.ts';
import type { Writer } from './writer.ts';
import { mergedNetworkOf, writerSetting } from './writer-network.ts';

export interface ExportModelRequest {
  readonly from: Writer;
  readonly format: ModelFormatName;
  readonly target: ExportTarget;
  /** A folder that does not exist, or is empty. */
  readonly out: string;
  readonly embeddings: TableBits;
  readonly head: TableBits;
  /** False leaves out to read the folder back: it is removed again. */
  readonly check?: false;
}

/** The document of `export --format onnx --json`; `export.json` in the folder has the same. */
export interface ExportModelResult extends FolderReport {
  readonly format: ModelFormatName;
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  /** Setting of the run, such as `W4A4KV4`. */
  readonly bits: string;
  readonly productVersion: string;
  /** Reading the folder back found this; null where nothing could be measured. */
  readonly check: FolderCheck | null;
  /** Absolute path of the folder. */
  readonly folder: string;
}

/**
 * Writes the network of a run, or a model at full precision, and reads it back.
 * @throws UserError `export/…` (a target's library is looked for first), `import/exists`, `file/unwritable`, and those of the model, its tokenizer and the run.
 */
export async function* exportModel(
  request: ExportModelRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportModelResult> {
  const { format, target, embeddings, head } = request;
  libraryFor(target);
  const out = newModelFolder(request.out);
  if (!existsSync(out)) expectWritable(out);
  const opened = await openWriter(request.from, { device: 'cpu', cacheBits: null });
  const { experiment, run, source } = opened;
  return yield* runJob(writerSetting('export', opened, options), async function* (bench, executor) {
    yield* warningsOf(source);
    expectExpressible(targetQuestion(bench, target));
    const network = yield* mergedNetworkOf(opened, bench, executor, false);
    const { productVersion } = await provenanceOf(bench);
    const origin = {
      format,
      model: experiment.model,
      run: run?.dir ?? null,
      bits: labelOf(bench),
      productVersion,
    };
    const tokens = { bos: bench.tokenizer.bosId, ends: [...endTokensOf(bench)] };
    const cardOf = await cardsOf(request, opened, bench, productVersion);
    const model = { cache: bench.cache, network, tables: { embeddings, head }, target, tokens, origin };
    const write = async () => {
      const report = await writeModelAsFolder(out, { ...model, card: cardOf(null) }, options.signal);
      if (request.check === false) return { ...report, check: null };
      // What reads the folder maps its files, which some systems do not let be moved: it stands in its place by now.
      return keptWhole(out, async () => {
        const bytes = report.files[DATA_FILE] ?? 0;
        const check = await checkModel(bench, { folder: out, network, target, bytes }, options.signal);
        return addFindings(out, { ...model, card: cardOf(check) }, report, { check });
      });
    };
    const report = yield* phase('export', {}, write, out);
    return { ...origin, ...report, folder: out };
  });
}

/** The model card by what was measured, around the lines that say how the folder is loaded. */
async function cardsOf(
  { format, target, embeddings, head }: ExportModelRequest,
  { experiment, run }: OpenedWriter,
  bench: Workbench,
  productVersion: string,
): Promise<(check: FolderCheck | null) => (usage: string) => string> {
  const { rows } = await targetOf(bench, { format, target });
  const results = run === null ? null : await run.readResults().catch(() => null);
  const { model } = experiment;
  const bits = labelOf(bench);
  const known = { model, experiment, rows, results, productVersion, bits };
  return (check) => (usage) =>
    modelCard({
      ...known,
      check: folderTable(check, bits),
      title: `${MODEL_FORMATS[format].title} ${EXPORT_TARGETS[target].title}`,
      settings: { target, embeddings, head },
      usage: [usage],
      licence: licenceOf(model),
    });
}
