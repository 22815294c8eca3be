import type { Linear, Site } from '../../protocol/block.ts';
import type { Value } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import { seenByReaders } from '../network/linear-sites.ts';

/**
 * A layer is walked in five stages, each with the weights that were rounded on what the stages before gave: so every
 * weight is rounded on what it will read, and no weight is multiplied before it is rounded. Between stages the rows of
 * the text stay in two places: `residual`, x [T, d] and later `attended`, and `mixed`, the input of o before its map.
 */
export interface Stage {
  /** The site of the stage's rows; null for the stage that only ends a layer. */
  readonly site: Site | null;
  /** Linear layers that read `rows` and are rounded on them. */
  readonly linears: readonly Linear[];
  /** Under which name the program reads the residual. */
  readonly residual: 'x' | 'attended';
  readonly readsMixed: boolean;
  /** The output that becomes the residual. */
  readonly newResidual: 'attended' | 'y' | null;
  /** True where the rows, before their map, are kept as `mixed`. */
  readonly keepsMixed: boolean;
}

const READS = { residual: 'x', readsMixed: false, newResidual: null, keepsMixed: false } as const;

export const STAGES = {
  attention: { ...READS, site: 'attention-input', linears: ['q', 'k', 'v'] },
  output: { ...READS, site: 'o-input', linears: ['o'], keepsMixed: true },
  mlp: { ...READS, site: 'mlp-input', linears: ['gate', 'up'], readsMixed: true, newResidual: 'attended' },
  down: { ...READS, site: 'down-input', linears: ['down'], residual: 'attended' },
  end: { ...READS, site: null, linears: [], residual: 'attended', newResidual: 'y' },
} as const satisfies Record<string, Stage>;

export type StageName = keyof typeof STAGES;
export const STAGE_NAMES = Object.keys(STAGES) as StageName[];

/** Stages whose rows linear layers read. */
type ReadingStage = Exclude<StageName, 'end'>;

export const READING_STAGES = STAGE_NAMES.filter((name): name is ReadingStage => STAGES[name].site !== null);

/** Columns of a stage's rows, which are those of the weights that read them. */
export function rowWidth(stage: ReadingStage, config: ModelConfig): number {
  const { hiddenSize, intermediateSize, heads, headDim } = config;
  return { attention: hiddenSize, output: heads * headDim, mlp: hiddenSize, down: intermediateSize }[stage];
}

export interface StageSpec {
  readonly stage: StageName;
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** `mixed` is given where a map makes other rows of it. */
export type StageOutput = 'rows' | 'mixed' | 'attended' | 'y';

/** One stage of the merged network, activations as they are. */
export const STAGE: ProgramKind<StageSpec, { [Name in StageOutput]?: Reals }> = {
  name: 'stage',
  build({ stage, shape, types }) {
    const seen = new Map<Site, Value>();
    const { graph, y, kept, inputs } = layerExpression(
      shape,
      types,
      'merged',
      false,
      'float32',
      (site, value) => seen.set(site, value),
    );
    const { site, residual, readsMixed, newResidual, keepsMixed } = STAGES[stage];
    const attended = kept.get('attended') ?? null;
    const mixed = seen.get('o-input');
    const cut = new Map<Value, string>();
    if (readsMixed && mixed) cut.set(mixed, 'mixed');
    if (residual === 'attended' && attended) cut.set(attended, 'attended');
    const rows = site && seen.get(site);
    const read = site && rows ? seenByReaders(inputs, site, rows) : null;
    const outputs = {
      rows: read,
      mixed: keepsMixed && rows && read !== rows ? rows : null,
      attended: newResidual === 'attended' ? attended : null,
      y: newResidual === 'y' ? y : null,
    };
    return { graph, outputs, cut, precision: shape.precision };
  },
};
