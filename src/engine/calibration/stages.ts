import { hadamard } from '../graph/fused/hadamard.ts';
import type { Value } from '../graph/graph.ts';
import { Program } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ObservedSite } from '../network/layer.ts';
import type { LayerTypes, LinearRole } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import type { Runtime } from '../runtime/types.ts';

/**
 * A layer is walked in five stages, each with the weights that were rounded on what the stages before gave: so every
 * weight is rounded on what it will read, and no weight is multiplied before it is rounded. Between stages the rows of
 * the text stay in two places: `residual`, x [T, d] and later `attended`, and `mixed`, the input of o.
 */
export interface Stage {
  /** Linear layers that read `rows` and are rounded on them. */
  readonly roles: readonly LinearRole[];
  /** Under which name the program reads the residual. */
  readonly residual: 'x' | 'attended';
  readonly readsMixed: boolean;
  /** The output that becomes the residual. */
  readonly newResidual: 'attended' | 'y' | null;
  /** Whether the rows are kept as `mixed`. */
  readonly keepsMixed: boolean;
}

const READS = { residual: 'x', readsMixed: false, newResidual: null, keepsMixed: false } as const;

export const STAGES = {
  attention: { ...READS, roles: ['q', 'k', 'v'] },
  output: { ...READS, roles: ['o'], keepsMixed: true },
  mlp: { ...READS, roles: ['gate', 'up'], readsMixed: true, newResidual: 'attended' },
  down: { ...READS, roles: ['down'], residual: 'attended' },
  end: { ...READS, roles: [], residual: 'attended', newResidual: 'y' },
} as const satisfies Record<string, Stage>;

export type StageName = keyof typeof STAGES;
export const STAGE_NAMES = Object.keys(STAGES) as StageName[];

/** Stages whose rows linear layers read. */
type ReadingStage = Exclude<StageName, 'end'>;

const SITES: Readonly<Record<ReadingStage, ObservedSite>> = {
  attention: 'attention-input',
  output: 'o-input',
  mlp: 'mlp-input',
  down: 'down-input',
};

export const READING_STAGES = Object.keys(SITES) as ReadingStage[];

/** Columns of a stage's rows, which are those of the weights that read them. */
export function rowWidth(stage: ReadingStage, config: ModelConfig): number {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  return { attention: hiddenSize, output: heads * headDim, mlp: hiddenSize, down: intermediateSize }[stage];
}

/** One stage of the merged network, activations as they are. */
export function compileStage(
  runtime: Runtime,
  shape: LayerShape,
  types: LayerTypes,
  stage: StageName,
): Promise<Program> {
  const seen = new Map<ObservedSite, Value>();
  const { graph, y, kept } = layerExpression(shape, types, 'merged', false, 'float32', (site, value) =>
    seen.set(site, value),
  );
  const { residual, readsMixed, newResidual } = STAGES[stage];
  const attended = kept.get('attended')!;
  const cut = new Map<Value, string>();
  if (readsMixed) cut.set(seen.get('o-input')!, 'mixed');
  if (residual === 'attended') cut.set(attended, 'attended');
  const rows = stage === 'end' ? null : rotated(seen.get(SITES[stage])!, stage, shape);
  const outputs = {
    rows,
    attended: newResidual === 'attended' ? attended : null,
    y: newResidual === 'y' ? y : null,
  };
  return Program.compile(runtime, graph, outputs, { cut, precision: shape.precision });
}

/** What down reads comes before R4 in the expression of a layer. */
function rotated(rows: Value, stage: StageName, { rotations }: LayerShape): Value {
  return stage === 'down' && rotations.r4 ? hadamard(rows, rotations.r4) : rows;
}
