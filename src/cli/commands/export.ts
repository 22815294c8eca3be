import type { ExportPlan, PlanExportRequest } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import {
  CHECKPOINT_FORMATS,
  type CheckpointFormatName,
  EXPORT_TARGETS,
  type ExportFormatName,
  type ExportTarget,
  type FloatType,
  type GgufWeightType,
  type HadamardChoice,
  isCheckpointFormat,
  isModelFormat,
  MODEL_FORMATS,
  type ModelFormatName,
  type TableBits,
  type WeightChoice,
} from '../../protocol/export-formats.ts';
import {
  CHECKPOINT_DEFAULTS,
  costInWords,
  folderCheckInWords,
  rowsInWords,
} from '../../protocol/export-plan.ts';
import { formatBytes } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import type { KernelOption } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { follow } from '../progress.ts';
import { runsFolder } from './runs.ts';

export interface ExportFlags {
  readonly format: ExportFormatName | ModelFormatName | CheckpointFormatName;
  readonly out?: string;
  readonly plan?: boolean;
  readonly measure?: boolean;
  readonly target?: ExportTarget;
  readonly dtype?: FloatType;
  readonly weights?: WeightChoice;
  readonly type?: GgufWeightType;
  readonly hadamard?: HadamardChoice;
  readonly embeddings?: TableBits;
  readonly head?: TableBits;
  readonly kernels: KernelOption;
}

/** Writes the learned rotations of a run to a file, or its whole model to a folder. */
export async function exportRun(run: string, flags: ExportFlags, output: Output): Promise<undefined> {
  const { format } = flags;
  expectUsed(flags);
  if (isCheckpointFormat(format)) return exportCheckpoint(run, { ...flags, format }, output);
  if (isModelFormat(format)) return exportModel(run, { ...flags, format }, output);
  const out = outOf(flags);
  const tensors = await (await loadEngine()).exportRun(run, format, out);
  output.document({ file: out, format, tensors });
  output.result(`${out}: ${tensors.length} rotations`);
}

async function exportModel(
  named: string,
  flags: ExportFlags & { readonly format: ModelFormatName },
  output: Output,
): Promise<undefined> {
  const { format, target = 'stock', embeddings = 16, head = 16, kernels } = flags;
  const out = flags.plan ? null : outOf(flags);
  const engine = await loadEngine();
  const from = await engine.findWriter(named, await runsFolder('.'));
  if (out === null) return planned({ from, settings: { format, target } }, flags, output);
  const request = { from, format, target, out, embeddings, head };
  const settings = { format, target };
  const result = await interruptible(output, async (signal) => {
    const asked = { from, settings, measure: flags.measure ?? false };
    output.result(
      planInWords(titleOf(settings), await follow(engine.planExport(asked, { signal, kernels }), output)),
    );
    return follow(engine.exportModel(request, { signal, kernels }), output);
  });
  output.document(result);
  const bytes = bytesOf(result.files);
  const { check, notes } = result;
  const found = check === null ? [] : [folderCheckInWords(check)];
  output.result(
    [`${out}: ${result.bits}, ${formatBytes(bytes)}`, ...notes.map((note) => `- ${note}`), ...found].join(
      '\n',
    ),
  );
}

/** The table of a run in a format, and nothing else. */
async function planned(request: PlanExportRequest, flags: ExportFlags, output: Output): Promise<undefined> {
  const { kernels, measure = false } = flags;
  const engine = await loadEngine();
  const plan = await interruptible(output, (signal) =>
    follow(engine.planExport({ ...request, measure }, { signal, kernels }), output),
  );
  output.document(plan);
  output.result(planInWords(titleOf(request.settings), plan));
}

const titleOf = (settings: PlanExportRequest['settings']): string =>
  'target' in settings
    ? `${MODEL_FORMATS[settings.format].title} ${EXPORT_TARGETS[settings.target].title}`
    : CHECKPOINT_FORMATS[settings.format].title;

const planInWords = (title: string, plan: ExportPlan): string =>
  [`${title}, ${plan.bits}:`, ...rowsInWords(plan.rows), costInWords(plan)].join('\n');

/** Tells first what the format holds of the run; writes where there is a place for all of it. */
async function exportCheckpoint(
  named: string,
  flags: ExportFlags & { readonly format: CheckpointFormatName },
  output: Output,
): Promise<undefined> {
  const { format, kernels, measure = false } = flags;
  const out = flags.plan ? null : outOf(flags);
  const engine = await loadEngine();
  const from = await engine.findWriter(named, await runsFolder('.'));
  const chosen = Object.fromEntries(
    Object.keys(CHECKPOINT_DEFAULTS).flatMap((name) => {
      const value = flags[name as keyof typeof CHECKPOINT_DEFAULTS];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const request = { from, settings: { ...CHECKPOINT_DEFAULTS, ...chosen, format } };
  if (out === null) return planned(request, flags, output);
  const result = await interruptible(output, async (signal) => {
    const plan = await follow(engine.planExport({ ...request, measure }, { signal, kernels }), output);
    output.result(planInWords(CHECKPOINT_FORMATS[format].title, plan));
    return follow(engine.exportCheckpoint({ ...request, out }, { signal, kernels }), output);
  });
  output.document(result);
  output.result(`${result.folder}: ${formatBytes(bytesOf(result.files))}`);
  const { check } = result;
  if (check === null) return;
  const [weights, back] = [check.weights, check.readBack].map((each) => each.toPrecision(5));
  output.result(
    `Perplexity on ${check.tokens} tokens of ${check.text}: weights ${weights}, read back ${back}`,
  );
}

const bytesOf = (files: Readonly<Record<string, number>>): number =>
  Object.values(files).reduce((sum, size) => sum + size, 0);

/** @throws UserError `cli/no-out` */
function outOf({ out, format }: ExportFlags): string {
  if (out !== undefined) return out;
  throw new UserError(
    'cli/no-out',
    `The format ${format} needs a place to write to.`,
    isCheckpointFormat(format)
      ? 'Add --out FOLDER, or --plan to write nothing.'
      : `Add --out ${isModelFormat(format) ? 'FOLDER' : 'FILE'}.`,
  );
}

/** Options by the formats that take them. */
const OPTIONS = {
  plan: [...Object.keys(MODEL_FORMATS), ...Object.keys(CHECKPOINT_FORMATS)],
  measure: [...Object.keys(MODEL_FORMATS), ...Object.keys(CHECKPOINT_FORMATS)],
  target: Object.keys(MODEL_FORMATS),
  dtype: takers('dtype'),
  weights: takers('weights'),
  type: takers('type'),
  hadamard: takers('hadamard'),
  embeddings: [...Object.keys(MODEL_FORMATS), ...takers('embeddings')],
  head: [...Object.keys(MODEL_FORMATS), ...takers('head')],
} as const satisfies Partial<Record<keyof ExportFlags, readonly string[]>>;

function takers(option: string): string[] {
  const formats: [string, { readonly options: readonly string[] }][] = Object.entries(CHECKPOINT_FORMATS);
  return formats.filter(([, { options }]) => options.includes(option)).map(([name]) => name);
}

/** @throws UserError `cli/not-used` */
function expectUsed(flags: ExportFlags): void {
  for (const [name, formats] of Object.entries(OPTIONS)) {
    if (flags[name as keyof typeof OPTIONS] === undefined || formats.includes(flags.format)) continue;
    throw new UserError(
      'cli/not-used',
      `The format ${flags.format} takes no --${name}: it would not be used.`,
      `Add --format ${formats.join(' or ')}, or leave --${name} out.`,
    );
  }
}
