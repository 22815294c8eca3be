/** What becomes of a run in a format of others: known before anything is computed or written. */
import type {
  CheckpointFormatName,
  ExportTarget,
  FloatType,
  GgufWeightType,
  HadamardChoice,
  ModelFormatName,
  TableBits,
  WeightChoice,
} from './export-formats.ts';

/**
 * What a target does with a part of a run: it has it as it is; it has it in its weights; it does something else in its
 * place; it leaves it out; or it has no place for it, so that nothing is written.
 */
export type Verdict = 'kept' | 'merged' | 'changed' | 'left out' | 'refused';

export interface TargetRow {
  /** A part of the network, such as `weights`. */
  readonly part: string;
  /** What the run does, in words. */
  readonly run: string;
  readonly verdict: Verdict;
  /** What the target does, in words. */
  readonly there: string;
  /** What to do where it is refused. */
  readonly hint?: string;
}

/** How a checkpoint is written. An option that its format does not take has no effect. */
export interface CheckpointSettings {
  readonly format: CheckpointFormatName;
  /** Type of weights that are numbers, of scales, and of tables of tokens. */
  readonly dtype: FloatType;
  readonly weights: WeightChoice;
  /** Type of the weights of linear layers in a GGUF file. */
  readonly type: GgufWeightType;
  /** What becomes of R4 in a GGUF file. */
  readonly hadamard: HadamardChoice;
  /** Bits of the tables of tokens in a GGUF file. */
  readonly embeddings: TableBits;
  readonly head: TableBits;
}

/** An ONNX folder, as far as its table asks. */
export interface OnnxPlanSettings {
  readonly format: ModelFormatName;
  readonly target: ExportTarget;
}

export const CHECKPOINT_DEFAULTS: Omit<CheckpointSettings, 'format'> = {
  dtype: 'bfloat16',
  weights: 'rounded',
  type: 'F16',
  hadamard: 'folded',
  embeddings: 16,
  head: 16,
};

/** The rows as aligned text, a line each. */
export function rowsInWords(rows: readonly TargetRow[]): string[] {
  const width = Math.max(...rows.map(({ part }) => part.length), 0);
  const verdicts = Math.max(...rows.map(({ verdict }) => verdict.length), 0);
  return rows.map(
    ({ part, run, verdict, there }) =>
      `${part.padEnd(width)}  ${verdict.padEnd(verdicts)}  ${run} → ${there}`,
  );
}

/** Perplexities on the beginning of a run's first text. */
export interface ExportCheck {
  /** Its name in `evaluation.perplexity`. */
  readonly text: string;
  /** Tokens predicted. */
  readonly tokens: number;
  /** Of the run's network, with all that it rounds. */
  readonly network: number;
  /** Of the weights that were to be written, times activations, keys and values as they are. */
  readonly weights: number;
  /** The same of what was read back from the folder. */
  readonly readBack: number;
}

/** Perplexities on the beginning of a run's first text, before anything is written. */
export interface ExportMeasured extends Pick<ExportCheck, 'text' | 'tokens' | 'network'> {
  /** Of the weights with their rotations, none of them rounded, and nothing else. */
  readonly unrounded: number;
  /** Of the run's weights with what the target rounds while it computes. */
  readonly there: number;
}

/** Perplexities of an ONNX folder, on the beginning of a run's first text. */
export interface FolderCheck
  extends Pick<ExportMeasured, 'text' | 'tokens' | 'network' | 'there'>,
    Pick<ExportCheck, 'readBack'> {
  /** Version of the ONNX Runtime that read the folder. */
  readonly onnxRuntime: string;
}

export function folderCheckInWords({ text, tokens, network, there, readBack }: FolderCheck): string {
  const [own, computed, back] = [network, there, readBack].map((each) => each.toPrecision(5));
  return `Perplexity on ${tokens} tokens of ${text}: as the run ${own}, as computed there ${computed}, read back in ONNX Runtime ${back}.`;
}

/** What is known of a run in a format before anything is written. */
export interface PlannedExport {
  readonly rows: readonly TargetRow[];
  /** Null where it was not asked for, where the run has no text, or where weights are rounded anew. */
  readonly measured: ExportMeasured | null;
  /** Perplexities that the run measured, by the names of their texts. */
  readonly recorded: Readonly<Record<string, number>>;
}

/** What an export costs, in a line. @param unmeasured why there is no measurement. */
export function costInWords(
  { measured, recorded }: Omit<PlannedExport, 'rows'>,
  unmeasured = 'not measured (--measure does so on a few windows)',
): string {
  if (measured !== null) {
    const [unrounded, network, there] = [measured.unrounded, measured.network, measured.there].map((each) =>
      each.toPrecision(5),
    );
    return `Perplexity on ${measured.tokens} tokens of ${measured.text}: not rounded ${unrounded}, as the run ${network}, as computed there ${there}`;
  }
  const known = Object.entries(recorded).map(([name, value]) => `${name}: ${value.toPrecision(5)}`);
  const run = known.length > 0 ? `The run measured ${known.join(', ')}. ` : '';
  return `${run}As computed there: ${unmeasured}`;
}
