import type { LossSummary } from '../../runs/index.ts';
import type { LearnStep } from '../transform/learning/learner.ts';
import type { CheckpointOrigin } from './checkpoint-origin.ts';
import { type LearningCheckpoint, writeCheckpoint } from './learning-checkpoint.ts';
import type { Places } from './places.ts';

/** Checkpoints may take this share of the time, and are written at least every minute. */
const CHECKPOINT_SHARE = 0.05;
const CHECKPOINT_SECONDS = 60;

/** Writes the state of finished steps; each step is written at most once. */
export class CheckpointWriter {
  readonly #places: Places;
  readonly #folder: string;
  readonly #origin: CheckpointOrigin;
  #lastTime = performance.now();
  #cost = 0;
  #written = 0;

  /** @param folder of the checkpoint, in `places`. */
  constructor(places: Places, folder: string, origin: CheckpointOrigin) {
    this.#places = places;
    this.#folder = folder;
    this.#origin = origin;
  }

  isDue({ step }: LearnStep, steps: number): boolean {
    const since = (performance.now() - this.#lastTime) / 1000;
    return step === steps || since >= CHECKPOINT_SECONDS || since * CHECKPOINT_SHARE >= this.#cost;
  }

  async write(checkpoint: LearningCheckpoint, loss: LossSummary): Promise<void> {
    if (checkpoint.step === this.#written) return;
    const began = performance.now();
    this.#places.check();
    await writeCheckpoint(this.#folder, checkpoint, this.#origin, loss);
    this.#lastTime = performance.now();
    this.#cost = (this.#lastTime - began) / 1000;
    this.#written = checkpoint.step;
  }
}
