/** What is measured, and who takes part. */

import type { BesideName, ContenderSpeed, SpeedSizes } from '../../../protocol/speed.ts';
import type { HeadBits } from '../../network/network-ends.ts';
import { Rng } from '../../rotation/random.ts';
import type { Contender } from '../../speed/contender.ts';
import type { LlamaBench } from '../../speed/llama-bench.ts';
import { longestText, type MeasuredRates } from '../../speed/measure.ts';
import type { Executor } from '../execute.ts';
import type { OpenedWriter } from '../opened-writer.ts';
import type { Workbench } from '../workbench.ts';
import type { Writer } from '../writer.ts';
import type { AskedSizes } from './sizes.ts';

export interface SpeedRequest extends AskedSizes {
  readonly from: Writer;
  /** Null: those of the run, or all processors. */
  readonly threads: number | null;
  /** Measured beside the run as it is deployed. */
  readonly beside: readonly BesideName[];
  /** Bits of the output layer of the run as it is deployed; 16 leaves it as it is stored. */
  readonly headBits: HeadBits;
  /** llama.cpp; null without it. */
  readonly llama: LlamaBench | null;
}

/** One that takes part, with what is known of it before it is measured. */
export interface Entrant {
  readonly contender: Contender;
  readonly facts: Omit<ContenderSpeed, keyof MeasuredRates | 'name' | 'ofBandwidth'>;
  readonly close?: () => Promise<void>;
}

/** What networks are made of. */
export interface SpeedPlace {
  readonly request: SpeedRequest;
  readonly opened: OpenedWriter;
  readonly bench: Workbench;
  readonly executor: Executor;
  readonly sizes: SpeedSizes;
  readonly threads: number;
  /** Seconds in which the model and the runtime were opened. */
  readonly openSeconds: number;
}

/** Token ids that the model has, as many as the longest text. */
export function randomIds({ bench, sizes }: SpeedPlace): Int32Array {
  const rng = new Rng(0).split('tokens');
  const { vocabSize } = bench.checkpoint.config;
  return Int32Array.from({ length: longestText(sizes) }, () => rng.integer(vocabSize));
}
