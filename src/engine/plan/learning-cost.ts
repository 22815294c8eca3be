import { learningWeightBits, learningWeightClip } from '../../config/index.ts';
import { addWork, type Cost, type TextSize, tokensOf, type Work } from '../network/work.ts';
import { alternatingWork, capturedLearningWork, networkLearningWork } from '../transform/learning/work.ts';
import { learnedSeams } from './experiment-maps.ts';
import { WARM_START } from './learners.ts';
import { learningMode, networkBytes } from './memory.ts';
import type { Workbench } from './workbench.ts';

/** What the learner of an experiment is expected to ask of the machine. @param text for calibration. */
export function learningCost({ experiment, checkpoint }: Workbench, text: TextSize): Cost {
  const { learning, start } = experiment.rotation;
  const seams = learnedSeams(experiment);
  const { config } = checkpoint;
  const onCaptured = (steps: number): Work => capturedLearningWork(config, text, { steps, seams });
  if (learning.objective !== 'cross-entropy') {
    const network = { mode: 'plain', purpose: 'run' } as const;
    return {
      work:
        learning.objective === 'procrustes'
          ? alternatingWork(config, text, { steps: learning.steps, seams })
          : onCaptured(learning.steps),
      bytes: networkBytes(experiment, checkpoint, network, tokensOf(text)),
    };
  }
  const batch = { ...text, sequences: learning.batchSize };
  const searched = learningWeightClip(experiment) && learning.weightClipEvery === 1;
  const rounds = learningWeightBits(experiment) < 16;
  const prepares = rounds ? { mapped: true, searched } : null;
  const work = networkLearningWork(config, batch, { steps: learning.steps, seams }, { prepares });
  const network = { mode: learningMode(experiment), purpose: 'learn' } as const;
  return {
    work: start === 'captured' ? addWork(onCaptured(WARM_START.steps), work) : work,
    bytes: networkBytes(experiment, checkpoint, network, tokensOf(batch)),
  };
}
