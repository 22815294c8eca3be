import type { Linear, SeamName, Site } from '../../protocol/block.ts';
import { fakeQuantize } from '../graph/fused/fake-quantize.ts';
import type { Value } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import type { ModelConfig } from '../model/config.ts';
import type { LayerInputs, LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import { type LayerShape, quantizerAt } from '../network/layer-shape.ts';
import { seenByReaders } from '../network/linear-sites.ts';

/**
 * A layer is walked in five stages, each with the weights that were rounded on what the stages before gave: so every
 * weight is rounded on what it will read, and no weight is multiplied before it is rounded. Between stages the rows of
 * the text stay in three places: `residual`, x [T, d] and later `attended`, and the inputs of o and of down before their
 * maps, `mixed` and `product`. There may be no room for `product`, which is then computed again.
 */
export interface Stage {
  /** The site of the stage's rows; null for the stage that only ends a layer. */
  readonly site: Site | null;
  /** Linear layers that read `rows` and are rounded on them. */
  readonly linears: readonly Linear[];
  /** Under which name the program reads the residual. */
  readonly residual: 'x' | 'attended';
  readonly reads: KeptRows | null;
  /** The output that becomes the residual. */
  readonly newResidual: 'attended' | 'y' | null;
  /** The name under which the rows, before their map, are kept for the next stage. */
  readonly keeps: KeptRows | null;
}

/** Rows that a stage keeps for the next one. */
export type KeptRows = 'mixed' | 'product';
const KEPT_SITES = { mixed: 'o-input', product: 'down-input' } as const satisfies Record<KeptRows, Site>;

const READS = { residual: 'x', reads: null, newResidual: null, keeps: null } as const;

export const STAGES = {
  attention: { ...READS, site: 'attention-input', linears: ['q', 'k', 'v'] },
  output: { ...READS, site: 'o-input', linears: ['o'], keeps: 'mixed' },
  mlp: { ...READS, site: 'mlp-input', linears: ['gate', 'up'], reads: 'mixed', newResidual: 'attended' },
  down: { ...READS, site: 'down-input', linears: ['down'], residual: 'attended', keeps: 'product' },
  end: { ...READS, site: null, linears: [], residual: 'attended', reads: 'product', newResidual: 'y' },
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

/** The seam of the map between kept rows and those that weights read. */
export const MAPS_OF_KEPT = { mixed: 'across-heads', product: 'up-down' } as const satisfies Record<
  KeptRows,
  SeamName
>;

export interface StageSpec {
  readonly stage: StageName;
  /** False where the rows that the stage would keep or read are not kept. */
  readonly keeping: boolean;
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** `mixed` and `product` are given where a map makes other rows of them. */
export type StageOutput = 'rows' | KeptRows | 'attended' | 'y';

/** One stage of the merged network. Rows are as weights read them: quantized, where the network's quantizers do so. */
export const STAGE: ProgramKind<StageSpec, { [Name in StageOutput]?: Reals }> = {
  name: 'stage',
  build({ stage, keeping, shape, types }) {
    const seen = new Map<Site, Value>();
    const { graph, y, kept, inputs } = layerExpression(
      shape,
      types,
      'merged',
      false,
      'float32',
      (site, value) => seen.set(site, value),
    );
    const { site, residual, reads, newResidual, keeps }: Stage = STAGES[stage];
    const attended = kept.get('attended') ?? null;
    const given = keeping && reads && seen.get(KEPT_SITES[reads]);
    const cut = new Map<Value, string>();
    if (given) cut.set(given, reads);
    if (residual === 'attended' && attended) cut.set(attended, 'attended');
    const rows = site && seen.get(site);
    const read = site && rows ? readRows(inputs, shape, site, rows) : null;
    const before = (name: KeptRows) => (keeping && keeps === name && rows && read !== rows ? rows : null);
    const outputs = {
      rows: read,
      mixed: before('mixed'),
      product: before('product'),
      attended: newResidual === 'attended' ? attended : null,
      y: newResidual === 'y' ? y : null,
    };
    return { graph, outputs, cut, precision: shape.precision };
  },
};

/** What weights multiply of the rows that are observed at a site. */
function readRows(inputs: LayerInputs, { quantizers }: LayerShape, site: Site, rows: Value): Value {
  const mapped = seenByReaders(inputs, site, rows);
  const quantizer = quantizerAt(site, quantizers);
  return quantizer ? fakeQuantize(mapped, quantizer) : mapped;
}
