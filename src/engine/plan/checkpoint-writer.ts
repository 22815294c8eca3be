import type { LossSummary } from '../../runs/index.ts';
import { changeOf, type FileMark } from '../model/unchanged.ts';
import type { LearnStep } from '../transform/learning/learner.ts';
import type { CheckpointOrigin } from './checkpoint-origin.ts';
import { type LearningCheckpoint, writeCheckpoint } from './learning-checkpoint.ts';
import type { Places } from './places.ts';

/** Checkpoints may take this share of the time, and are written at least every minute. */
const CHECKPOINT_SHARE = 0.05;
const CHECKPOINT_SECONDS = 60;

/**
 * Writes the state of finished steps; each step is written at most once, and none that may have been computed from
 * another model.
 */
export class CheckpointWriter {
  readonly #places: Places;
  readonly #folder: string;
  readonly #origin: CheckpointOrigin;
  readonly #model: readonly FileMark[];
  #lastTime = performance.now();
  #cost = 0;
  #written = 0;

  /** @param folder of the checkpoint, in `places`. @param model its files as they were opened. */
  constructor(places: Places, folder: string, origin: CheckpointOrigin, model: readonly FileMark[]) {
    this.#places = places;
    this.#folder = folder;
    this.#origin = origin;
    this.#model = model;
  }

  isDue({ step }: LearnStep, steps: number): boolean {
    const since = (performance.now() - this.#lastTime) / 1000;
    return step === steps || since >= CHECKPOINT_SECONDS || since * CHECKPOINT_SHARE >= this.#cost;
  }

  async write(checkpoint: LearningCheckpoint, loss: LossSummary): Promise<void> {
    // No error: this is called on the way out too. Whoever runs the job finds the change at the next event.
    if (checkpoint.step === this.#written || changeOf(this.#model) !== null) return;
    const began = performance.now();
    this.#places.check();
    await writeCheckpoint(this.#folder, checkpoint, this.#origin, loss);
    this.#lastTime = performance.now();
    this.#cost = (this.#lastTime - began) / 1000;
    this.#written = checkpoint.step;
  }
}
