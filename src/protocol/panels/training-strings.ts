import type { Translate } from './common.ts';
import { absentTexts, beginTexts, figureTexts, phaseNames, runStates } from './words.ts';

/** Every text of the training panel. */
export function trainingStrings(t: Translate) {
  return {
    ...chartTexts(t),
    rounding: roundingTexts(t),
    ...controlTexts(t),
    ...verdictTexts(t),
    ...phaseTexts(t),
    ...emptyTexts(t),
  };
}

function chartTexts(t: Translate) {
  return {
    panel: t('Training'),
    charts: {
      loss: t('Loss'),
      orthogonality: t('‖RᵀR − I‖'),
      gradient: t('Gradient norm'),
      stepSize: t('Learning rate and step cap'),
      distance: t('Distance from start'),
      seconds: t('Time per step'),
    },
    about: {
      loss: t('Of each batch, before its step; bold: mean of the last steps'),
      orthogonality: t('Largest |RᵀR − I| over all rotations, after the step; log axis'),
      gradient: t('Global norm over all rotations, before clipping'),
      stepSize: t('Taken is the smaller of rate and cap 1 / ‖W‖₁; log axis'),
      distance: t('‖R − R₀‖ / ‖R₀‖, Frobenius norm, R₀ the start'),
      seconds: t('Seconds for forward, backward and the update of the rotations'),
    },
    uncapped: t('Radians, about half the largest turn of a step; log axis'),
    units: {
      'cross-entropy': t('nats per token'),
      'kl-top': t('nats per token'),
      peak: t('(soft peak of a token)'),
      range: t('(squared range of a token)'),
      whip: t('(Σ exp(−|y|) of a token)'),
      kurtosis: t('(|κ − 1.8| of a token)'),
      procrustes: t('(mean squared rounding error)'),
    },
    timeUnits: { seconds: t('s'), minutes: t('min'), hours: t('h') },
    xAxis: t('Along'),
    xChoices: { step: t('steps'), time: t('time') },
    logLoss: t('log loss'),
    smoothing: t('Smoothing'),
    smoothingSteps: t('{0} steps'),
    resetZoom: t('Whole axis'),
    pinned: t('pinned'),
    orthogonal: t('‖RᵀR − I‖ at most {0}'),
    ...lineTexts(t),
  };
}

/** Lines of the charts, and what stands beside them. */
function lineTexts(t: Translate) {
  return {
    series: {
      rate: t('rate'),
      capR1: t('cap R1'),
      capR2: t('max cap R2'),
      r1: t('R1'),
      r2: t('R2 (mean)'),
    },
    clip: t('Global norm over all rotations; clipped at {0} (dotted)'),
    step: t('step'),
    stepOf: t('step {0}/{1}'),
    left: t('{0} left'),
    atStep: t('step {0}'),
    lossGap: t('The loss is not a number at step {0}: the line has a gap there, marked ✕.'),
    lossGaps: t('The loss is not a number at {0} steps, {1} to {2}: the line has a gap there, marked ✕.'),
  };
}

function roundingTexts(t: Translate) {
  return {
    title: t('Rounding error by layer'),
    about: t('Σ‖x(Q(W) − W)ᵀ‖² / Σ‖xWᵀ‖² of the outputs x Wᵀ on the calibration text, in %; log axis'),
    nearest: t('rounded to nearest'),
    ratio: t('{0} / to nearest'),
    linear: t('Linear layer'),
    mean: t('mean of all {0}'),
    layer: t('layer'),
    layerNumber: t('layer {0}'),
    meanOfLayers: t('mean of {0} layers'),
    ofNearest: t('{0}: {1} of the error to nearest'),
    percent: t('{0} %'),
    summary: t('{0}, {1}, {2}: {3} by {4}, {5} rounded to nearest.'),
    help: t('Arrow keys move along the layers.'),
  };
}

function controlTexts(t: Translate) {
  return {
    pause: t('Pause'),
    cancel: t('Cancel'),
    resume: t('Resume'),
    openExperiment: t('Open experiment'),
    curves: t('Curves'),
    thisRun: t('this run'),
    addRun: t('Add run …'),
    removeRun: t('Remove {0}'),
    showRun: t('Show the lines of {0}'),
    showLine: t('Show the line {0}'),
    composed: t('composed operators'),
    composedHint: t(
      'Without native kernels operators are composed of standard ones: the same results up to rounding, slower.',
    ),
    notes: t('Notes ({0})'),
    ...figureTexts(t),
    chartHelp: t('Arrow keys move along the steps; Enter pins the cursor, Escape shows the whole axis.'),
    summary: t('{0}: {1} at step {2}, {3} at step {4}.'),
    noSteps: t('No steps yet.'),
    noValue: t('not a number'),
    status: { ...runStates(t), waiting: t('waits for its turn') },
  };
}

function verdictTexts(t: Translate) {
  return {
    verdict: {
      'too-early': t('too early to say'),
      unclear: t('unclear'),
      converging: t('converging'),
      settled: t('settled'),
      stalled: t('stalled'),
      diverging: t('diverging'),
    },
    reason: {
      noSteps: t('no steps yet'),
      fewSteps: t('{0} of the {1} steps needed to tell a trend from noise'),
      falling: t('loss −{0} % in {1} steps'),
      settled: t('loss −{0} % in {1} steps, level since the learning rate fell'),
      flat: t('loss changed by {0} % in {1} steps, within its noise'),
      noisy: t(
        'the noise between batches hides any change of the loss below {0} %; larger batches show more',
      ),
      flatCapped: t(
        'loss changed by {0} % in {1} steps: the step cap holds every step below {2} % of the learning rate',
      ),
      flatStill: t(
        'loss changed by {0} % in {1} steps: the rotations hardly moved, try a larger learning rate',
      ),
      rising: t('loss is {0} % above its best, of step {1}: try a smaller learning rate or a gradient clip'),
      notANumber: t(
        'the loss is not a number since step {0}: look for overflow in the model or the gradient',
      ),
      offManifold: t('‖RᵀR − I‖ reached {0}: the matrices are no longer rotations'),
    },
  };
}

function phaseTexts(t: Translate) {
  return {
    activity: phaseNames(t),
    evaluating: t('Evaluating {0}, {1}: window {2} of {3} · perplexity {4} so far'),
    roundingLayer: t('Rounding layer {0} of {1} by {2} ({3} %)'),
    fullPrecision: t('full precision'),
    quantized: t('quantized'),
    perplexity: t('{0} perplexity'),
    against: t('{0}, full precision {1}'),
    preserved: t(
      '{0} preserve the function: full-precision logits differ by {1} of their size (allowed {2}).',
    ),
    notPreserved: t(
      '{0} change the function: full-precision logits differ by {1} of their size (allowed {2}).',
    ),
    unreadable: t('The run cannot be read.'),
    starting: t('Starting …'),
    startingText: t('Its curves are drawn here after the first step.'),
    waiting: t('It waits for its turn.'),
    notStarted: t('{0} did not start'),
    absent: absentTexts(t),
    interruptedTitle: t('The run was interrupted.'),
    interruptedHint: t('Resume goes on from its last checkpoint and gives the same bits.'),
  };
}

function emptyTexts(t: Translate) {
  return {
    empty: {
      title: t('No run yet'),
      text: t(
        'Optimize rotation in an experiment file starts a run. Its loss, gradient norm, step sizes, ‖RᵀR − I‖ and distance from start are drawn here while it learns.',
      ),
      time: t(
        'After the first step this panel says how long the rest takes on this machine; the default is 100 steps.',
      ),
      ...beginTexts(t),
    },
  };
}

export type TrainingStrings = ReturnType<typeof trainingStrings>;
