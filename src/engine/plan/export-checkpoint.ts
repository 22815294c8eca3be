/** The network of a run, or of a model, as a checkpoint that other programs load. */
import { existsSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectWritable, writing } from '../../disk/faults.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { CHECKPOINT_FORMATS } from '../../protocol/export-formats.ts';
import type { CheckpointSettings, ExportCheck, TargetRow } from '../../protocol/export-plan.ts';
import { type CheckpointFormat, type ExportQuestion, expectPlace } from '../checkpoint-export/format.ts';
import { checkpointFormat } from '../checkpoint-export/index.ts';
import { keptWhole, newModelFolder, writeJson, writeModelFolder } from '../model/model-folder.ts';
import { checkExport } from './check-export.ts';
import { endTokensOf } from './end-tokens.ts';
import { runJob } from './job.ts';
import { checkpointTable, licenceOf, modelCard } from './model-card.ts';
import { type OpenedWriter, openWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { phase } from './phases.ts';
import { type ExportPlan, questionOf } from './plan-export.ts';
import { provenanceOf } from './provenance.ts';
import { warningsOf } from './source.ts';
import { labelOf, type Workbench } from './workbench.ts';
import type { Writer } from './writer.ts';
import { mergedNetworkOf, writerSetting } from './writer-network.ts';

export interface ExportCheckpointRequest {
  readonly from: Writer;
  readonly settings: CheckpointSettings;
  /** A folder that does not exist, or is empty. */
  readonly out: string;
}

/** The document of `export --format … --json`; `export.json` in the folder has the same. */
export interface ExportCheckpointResult extends Omit<ExportPlan, 'format' | 'measured' | 'recorded'> {
  readonly format: CheckpointSettings['format'];
  readonly settings: Partial<CheckpointSettings>;
  /** Absolute path of the model, or its name on the Hub. */
  readonly model: string;
  /** Absolute path of the run; null for a model. */
  readonly run: string | null;
  readonly productVersion: string;
  /** What reading the folder back found; null where the run has no text to measure on. */
  readonly check: ExportCheck | null;
  /** Bytes of each file. */
  readonly files: Readonly<Record<string, number>>;
  /** Absolute path of the folder. */
  readonly folder: string;
}

/**
 * Writes the network of a run, or a model at full precision, and reads it back.
 * @throws UserError `export/…`, `import/exists`, `file/unwritable`, and those of the model, its tokenizer and the run.
 */
export async function* exportCheckpoint(
  { from, settings, out: path }: ExportCheckpointRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportCheckpointResult> {
  const out = newModelFolder(path);
  if (!existsSync(out)) expectWritable(out);
  const opened = await openWriter(from, { device: 'cpu', cacheBits: null });
  return yield* runJob(writerSetting('export', opened, options), async function* (bench, executor) {
    yield* warningsOf(opened.source);
    const format = await checkpointFormat(settings.format);
    const question = questionOf(bench, settings);
    const rows = format.rows(question);
    expectPlace(rows, CHECKPOINT_FORMATS[settings.format].title);
    const network = yield* mergedNetworkOf(opened, bench, executor, false);
    const { cache, tokenizer } = bench;
    const model = { cache, network, tokenizer, ends: [...endTokensOf(bench)], settings };
    const report = await reportOf(opened, bench, { settings, rows });
    const { signal } = options;
    let names: string[] = [];
    const write = async (folder: string): Promise<void> => {
      names = await format.write(folder, model, signal);
    };
    const finish = async (): Promise<Finished> => {
      await writeModelFolder(out, write);
      // What reads the folder maps its files, which some systems do not let be moved: it stands in its place by now.
      return keptWhole(out, async () => {
        const scratch = await executor.places.scratch();
        const check = await checkExport(bench, { format, model, folder: out, scratch }, signal);
        const files = Object.fromEntries(names.map((name) => [name, statSync(join(out, name)).size]));
        await writeCard(out, { format, question, opened, report: { ...report, check } });
        await writeJson(join(out, 'export.json'), { ...report, check, files });
        return { check, files };
      });
    };
    const finished = yield* phase('export', {}, finish, out);
    return { ...report, ...finished, folder: out };
  });
}

type Finished = Pick<ExportCheckpointResult, 'check' | 'files'>;

type Report = Omit<ExportCheckpointResult, 'check' | 'files' | 'folder'>;

async function reportOf(
  { experiment, run }: OpenedWriter,
  bench: Workbench,
  { settings, rows }: { readonly settings: CheckpointSettings; readonly rows: readonly TargetRow[] },
): Promise<Report> {
  const { productVersion } = await provenanceOf(bench);
  const taken: readonly string[] = CHECKPOINT_FORMATS[settings.format].options;
  const own = Object.fromEntries(Object.entries(settings).filter(([name]) => taken.includes(name)));
  return {
    format: settings.format,
    bits: labelOf(bench),
    settings: own,
    model: experiment.model,
    run: run?.dir ?? null,
    productVersion,
    rows,
  };
}

interface Card {
  readonly format: CheckpointFormat;
  readonly question: ExportQuestion;
  readonly opened: OpenedWriter;
  readonly report: Report & { readonly check: ExportCheck | null };
}

async function writeCard(folder: string, { format, question, opened, report }: Card): Promise<void> {
  const { run, experiment } = opened;
  const text = modelCard({
    ...report,
    title: CHECKPOINT_FORMATS[report.format].title,
    usage: format.usage(question),
    licence: licenceOf(experiment.model),
    check: checkpointTable(report.check, report.bits),
    experiment,
    results: run === null ? null : await run.readResults().catch(() => null),
  });
  const path = join(folder, 'README.md');
  await writing(path, () => writeFile(path, text));
}
