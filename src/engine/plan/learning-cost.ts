import { isThroughNetwork, learningWeightBits, learningWeightClip } from '../../config/index.ts';
import {
  addWork,
  type Cost,
  NO_WORK,
  networkForward,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../network/work.ts';
import {
  alternatingWork,
  capturedLearningWork,
  type LearningSettings,
  networkLearningWork,
} from '../transform/learning/work.ts';
import { learnedSeams, mapsOfLayer } from './experiment-maps.ts';
import { WARM_START } from './learners.ts';
import { learningMode, networkBytes } from './memory.ts';
import type { Workbench } from './workbench.ts';

/** What the learner of an experiment is expected to ask of the machine. @param text for calibration. */
export function learningCost({ experiment, checkpoint }: Workbench, text: TextSize): Cost {
  const { learning, start } = experiment.rotation;
  const { config } = checkpoint;
  const settings = (steps: number): LearningSettings => ({
    steps,
    seams: learnedSeams(experiment),
    mapsOfLayer: mapsOfLayer(experiment, config),
  });
  const onCaptured = (steps: number): Work => capturedLearningWork(config, text, settings(steps));
  if (!isThroughNetwork(learning.objective)) {
    const network = { mode: 'plain', purpose: 'run' } as const;
    return {
      work:
        learning.objective === 'procrustes'
          ? alternatingWork(config, text, settings(learning.steps))
          : onCaptured(learning.steps),
      bytes: networkBytes(experiment, checkpoint, network, tokensOf(text)),
    };
  }
  const batch = { ...text, sequences: learning.batchSize };
  const searched = learningWeightClip(experiment) && learning.weightClipEvery === 1;
  const rounds = learningWeightBits(experiment) < 16;
  const prepares = rounds ? { mapped: true, searched } : null;
  const taught = learning.objective === 'kl-top' ? networkForward(config, batch, false) : NO_WORK;
  const work = addWork(
    networkLearningWork(config, batch, settings(learning.steps), { prepares }),
    timesWork(learning.steps, taught),
  );
  const network = { mode: learningMode(experiment), purpose: 'learn' } as const;
  return {
    work: start === 'captured' ? addWork(onCaptured(WARM_START.steps), work) : work,
    bytes: networkBytes(experiment, checkpoint, network, tokensOf(batch)),
  };
}
