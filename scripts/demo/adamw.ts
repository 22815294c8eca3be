/** AdamW (Loshchilov & Hutter 2019) on plain arrays. */
export class AdamW {
  readonly #weights: Float32Array;
  readonly #m: Float32Array;
  readonly #v: Float32Array;
  readonly #decay: number;

  /** @param decay decoupled weight decay; 0 for gains. */
  constructor(weights: Float32Array, decay: number) {
    this.#weights = weights;
    this.#m = new Float32Array(weights.length);
    this.#v = new Float32Array(weights.length);
    this.#decay = decay;
  }

  /** @param step from 1. @param scale factor on the gradient (global clipping). */
  step(gradient: Float32Array, step: number, learningRate: number, scale: number): void {
    const [beta1, beta2, epsilon] = [0.9, 0.95, 1e-8];
    const correction1 = 1 - beta1 ** step;
    const correction2 = 1 - beta2 ** step;
    const [w, m, v] = [this.#weights, this.#m, this.#v];
    for (let i = 0; i < w.length; i++) {
      const g = gradient[i]! * scale;
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      const update = m[i]! / correction1 / (Math.sqrt(v[i]! / correction2) + epsilon);
      w[i] = w[i]! - learningRate * (update + this.#decay * w[i]!);
    }
  }
}
