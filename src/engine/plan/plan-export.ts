/** What becomes of a run in a format: known from its settings, or measured. */
import { hasSiteClips } from '../../config/index.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { isModelFormat } from '../../protocol/export-formats.ts';
import {
  CHECKPOINT_DEFAULTS,
  type CheckpointSettings,
  type OnnxPlanSettings,
  type PlannedExport,
  type TargetRow,
} from '../../protocol/export-plan.ts';
import type { ExportQuestion } from '../checkpoint-export/format.ts';
import { checkpointFormat } from '../checkpoint-export/index.ts';
import { computedInOnnx, onnxRows } from '../checkpoint-export/onnx-rows.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import { measureThere } from './check-export.ts';
import { runJob } from './job.ts';
import { ownMaps, ownQuantizers } from './networks.ts';
import { type OpenedWriter, openWriter } from './opened-writer.ts';
import type { EngineOptions } from './options.ts';
import { phase } from './phases.ts';
import { warningsOf } from './source.ts';
import { labelOf, type Workbench } from './workbench.ts';
import type { Writer } from './writer.ts';
import { mergedNetworkOf, writerSetting } from './writer-network.ts';

export interface PlanExportRequest {
  readonly from: Writer;
  readonly settings: CheckpointSettings | OnnxPlanSettings;
  /** True measures what the target would compute on a few windows of the run's first text, before anything is written. */
  readonly measure?: boolean;
}

/** The document of `export --plan --json`. */
export interface ExportPlan extends PlannedExport {
  readonly format: PlanExportRequest['settings']['format'];
  /** Setting of the run, such as `W4A4KV4`. */
  readonly bits: string;
}

/**
 * What becomes of a run in a format. Nothing is computed, unless it is to be measured.
 * @throws UserError, those of the model and the run.
 */
export async function* planExport(
  { from, settings, measure = false }: PlanExportRequest,
  options: EngineOptions,
): AsyncGenerator<RunEvent, ExportPlan> {
  const opened = await openWriter(from, { device: 'cpu', cacheBits: null });
  const setting = { ...writerSetting('export', opened, options), previews: !measure };
  return yield* runJob(setting, async function* (bench, executor) {
    yield* warningsOf(opened.source);
    const { rows, computed } = await targetOf(bench, settings);
    const plan = {
      ...{ format: settings.format, bits: labelOf(bench), rows },
      recorded: await recordedBy(opened),
    };
    const anew = !isOnnx(settings) && settings.weights === 'rotated';
    if (!measure || anew || rows.some(({ verdict }) => verdict === 'refused'))
      return { ...plan, measured: null };
    const network = yield* mergedNetworkOf(opened, bench, executor, false);
    const work = () => measureThere(bench, network, computed, options.signal);
    return { ...plan, measured: yield* phase('evaluate', {}, work) };
  });
}

interface Target {
  readonly rows: readonly TargetRow[];
  readonly computed: (run: LayerQuantizers) => LayerQuantizers;
}

/** The table of a format, and what its program rounds. */
export async function targetOf(bench: Workbench, settings: PlanExportRequest['settings']): Promise<Target> {
  if (isOnnx(settings)) {
    const { target } = settings;
    const { checkpoint } = bench;
    const own = questionOf(bench, { ...CHECKPOINT_DEFAULTS, format: 'huggingface' });
    return {
      rows: onnxRows({ ...own, target, checkpoint }),
      computed: computedInOnnx(target, checkpoint.config),
    };
  }
  const format = await checkpointFormat(settings.format);
  return {
    rows: format.rows(questionOf(bench, settings)),
    computed: (run) => format.computed(run, settings),
  };
}

const isOnnx = (settings: PlanExportRequest['settings']): settings is OnnxPlanSettings =>
  isModelFormat(settings.format);

async function recordedBy({ run }: OpenedWriter): Promise<Record<string, number>> {
  const results = await run?.readResults().catch(() => null);
  return Object.fromEntries(
    (results?.perplexity ?? []).flatMap(({ name, quantized }) =>
      typeof quantized === 'number' ? [[name, quantized]] : [],
    ),
  );
}

/** What decides the rows. */
export function questionOf(bench: Workbench, settings: CheckpointSettings): ExportQuestion {
  const { checkpoint, experiment, rounding } = bench;
  const { activations, keys, values } = experiment.quantization;
  return {
    ...ownQuantizers(bench),
    config: checkpoint.config,
    maps: ownMaps(bench),
    method: experiment.quantization.weights.method,
    dense: rounding?.round?.dense ?? false,
    siteClips: {
      activations: hasSiteClips(activations),
      keys: hasSiteClips(keys),
      values: hasSiteClips(values),
    },
    settings,
  };
}
