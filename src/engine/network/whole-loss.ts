import { int64 } from '../../protocol/tensor.ts';
import { headLoss } from '../graph/fused/head-loss.ts';
import { Graph } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { HeadLoss, type HeadSpec, type Hidden, type OutputLoss } from './output-loss.ts';

/**
 * The loss of all tokens at once, by an operator that reads a bfloat16 output layer as it is stored and forgets logits as
 * soon as they are counted. Derivatives need these, and are left to another loss.
 */
export class WholeLoss extends HeadLoss implements OutputLoss {
  readonly #derivatives: Pick<OutputLoss, 'backward'>;

  constructor(cache: ProgramCache, head: HeadLoss['head'], derivatives: Pick<OutputLoss, 'backward'>) {
    super(cache, head, 0);
    this.#derivatives = derivatives;
  }

  async forward(hidden: Hidden, labels: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const spec = { ...this.headSpec(hidden), vocabulary: this.vocabulary };
    const program = await this.cache.get(WHOLE_LOSS, spec);
    const ids = int64([labels.length], BigInt64Array.from(labels, BigInt));
    return (await program.run({ hidden, head: this.head, labels: ids }, signal)).nll.data;
  }

  backward(hidden: Hidden, labels: Int32Array, weight: number, signal?: AbortSignal) {
    return this.#derivatives.backward(hidden, labels, weight, signal);
  }
}

interface WholeSpec extends HeadSpec {
  readonly vocabulary: number;
}

const WHOLE_LOSS: ProgramKind<WholeSpec, { nll: Reals }> = {
  name: 'loss-whole',
  build({ tokens, width, vocabulary, dtype }) {
    const graph = new Graph();
    const hidden = graph.input('hidden', [tokens, width]);
    const head = graph.input('head', [vocabulary, width], dtype);
    return { graph, outputs: { nll: headLoss(hidden, head, graph.input('labels', [tokens], 'int64')) } };
  },
};
