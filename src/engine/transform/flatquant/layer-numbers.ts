import { LINEARS } from '../../../protocol/block.ts';
import { partialOf, recordOf } from '../../../protocol/records.ts';
import { elementCount, float32 } from '../../../protocol/tensor.ts';
import type { Reals } from '../../graph/program.ts';
import type { LearnedLayer } from '../../network/learned-grids.ts';
import { derivativeName, FLAT_SEAMS, type FlatSeam } from './block.ts';
import { Learned, type LearnedMap } from './parameters.ts';

/** σ(4) = 0.982: ends begin a little shorter than the range. */
const FIRST_LOGIT = 4;

interface StepOf {
  /** What derivatives are multiplied by. */
  readonly scale: number;
  readonly rates: Readonly<Record<'maps' | 'clips', number>>;
  /** From 0. */
  readonly step: number;
}

/** All that is learned of a layer, between the program that takes derivatives and the steps that follow them. */
export class LayerNumbers {
  readonly #maps: Readonly<Record<FlatSeam, LearnedMap>>;
  readonly #logits: ReadonlyMap<string, { readonly dims: readonly number[]; readonly learned: Learned }>;
  #numbers: Readonly<Record<FlatSeam, Float64Array>>;

  /** @param sizes of logits, by input name. */
  constructor(maps: Readonly<Record<FlatSeam, LearnedMap>>, sizes: ReadonlyMap<string, readonly number[]>) {
    this.#maps = maps;
    this.#numbers = recordOf(FLAT_SEAMS, (seam) => maps[seam].numbers());
    this.#logits = new Map(
      [...sizes].map(([name, dims]) => {
        const start = new Float64Array(elementCount(dims)).fill(FIRST_LOGIT);
        return [name, { dims, learned: new Learned(start) }] as const;
      }),
    );
  }

  /** The program's inputs. */
  tensors(): Record<string, Reals> {
    const found: Record<string, Reals> = {};
    for (const seam of FLAT_SEAMS) {
      const numbers = this.#numbers[seam];
      found[seam] = float32([numbers.length], Float32Array.from(numbers));
    }
    for (const [name, { dims, learned }] of this.#logits)
      found[name] = float32(dims, Float32Array.from(learned.numbers));
    return found;
  }

  /** @param outputs the program's, with a derivative for each input. */
  step(outputs: Readonly<Record<string, Reals>>, { scale, rates, step }: StepOf): void {
    const derivative = (name: string): Float64Array =>
      Float64Array.from(outputs[derivativeName(name)]!.data, (value) => scale * value);
    for (const seam of FLAT_SEAMS)
      this.#maps[seam].step(derivative(seam), this.#numbers[seam], rates.maps, step);
    for (const [name, { learned }] of this.#logits) learned.step(derivative(name), rates.clips, step);
    this.#numbers = recordOf(FLAT_SEAMS, (seam) => this.#maps[seam].numbers());
  }

  /** What the network takes. */
  layer(): LearnedLayer {
    return {
      maps: partialOf(FLAT_SEAMS, (seam) => Float32Array.from(this.#numbers[seam])),
      clips: recordOf(LINEARS, () => ({ upper: new Float32Array(), lower: new Float32Array() })),
    };
  }
}
