import type { Translate } from './common.ts';
import { absentTexts, beginTexts, figureTexts, phaseNames } from './words.ts';

/** Every text of the panel of generated text. */
export function generateStrings(t: Translate) {
  return {
    ...headTexts(t),
    ...workTexts(t),
    ...columnTexts(t),
    ...chartTexts(t),
    ...faultTexts(t),
    ...emptyTexts(t),
    absent: absentTexts(t),
  };
}

function headTexts(t: Translate) {
  return {
    panel: t('Generated Text'),
    title: t('Compare generated text'),
    about: t(
      'Full precision writes a text. Each run writes one of its own, and judges that of full precision token by token.',
    ),
    prompt: t('Prompt'),
    promptHint: t('A text to go on from'),
    tokens: t('Tokens'),
    temperature: t('Temperature'),
    topK: t('Top-k'),
    allTokens: t('0: among all tokens'),
    topP: t('Top-p'),
    minP: t('Min-p'),
    repetitionPenalty: t('Repetition penalty'),
    stopBefore: t('Stop before'),
    chat: t('Chat template'),
    chatHint: t('The prompt is said in a conversation, as the chat template of the model writes it.'),
    seed: t('Seed'),
    notDrawn: t('Not used at temperature 0, which takes the most likely token.'),
    columns: t('Columns'),
    fullPrecision: t('Full precision'),
    noRotation: t('no rotation'),
    addRun: t('Add run…'),
    removeRun: t('Remove {0}'),
    chooseRun: t('Choose a run to compare'),
    generate: t('Generate'),
    stop: t('Stop'),
    keys: t('Ctrl+Enter'),
  };
}

function workTexts(t: Translate) {
  return {
    phases: phaseNames(t),
    starting: t('{0}: starting'),
    doing: t('{0}: {1}'),
    writing: t('{0}: writes token {1} of {2}'),
    judging: t('{0}: judges token {1} of {2}'),
    status: {
      waiting: t('waits'),
      working: t('at work'),
      done: t('done'),
      stopped: t('stopped'),
      failed: t('failed'),
    },
  };
}

function columnTexts(t: Translate) {
  return {
    ownText: t('Its own text'),
    ownTextOf: t('Text of {0}'),
    differs: t('underlined from where it differs from full precision'),
    sameText: t('the same as at full precision'),
    judgedText: t('Full precision’s text under it'),
    judgedTextOf: t('Full precision’s text under {0}; arrow keys move between tokens'),
    decode: t('writing'),
    prefill: t('prompt'),
    perSecond: t('{0} tokens/s'),
    weights: t('weights'),
    cache: t('keys and values, per token'),
    perplexity: t('perplexity of the text'),
    meanDifference: t('mean Δ log-probability'),
    meanDivergence: t('mean KL divergence'),
    reference: t('reference'),
    nats: t('{0} nats'),
    token: t('token {0}'),
    readout: t('{0} {1}: Δ {2} (full precision {3}, this run {4}), KL {5}'),
    readoutHint: t('Point at a token, or move with the arrow keys.'),
    optionName: t('{0}: Δ {1}'),
    notJudged: t('{0}: not judged yet'),
    part: t('part of a character, or the end of the text'),
    legend: t('Δ log-probability of a token against full precision, in nats'),
    lessLikely: t('less likely'),
    alike: t('alike'),
    moreLikely: t('more likely'),
    beyond: t('beyond {0}'),
  };
}

function chartTexts(t: Translate) {
  return {
    divergence: t('KL divergence along the text'),
    divergenceAbout: t(
      'KL(full precision ‖ run) over the whole vocabulary, in nats, at each token; 0 where the run says what full precision says',
    ),
    divergenceSummary: t('{0} of {1} tokens. Means: {2}.'),
    divergenceAt: t('{0} {1}: {2}'),
    stepHelp: t('Arrow keys move along the text.'),
    tokenAxis: t('token'),
    tokenNumber: t('No.'),
    logProbabilityAt: t('log p, {0}'),
    differenceAt: t('Δ, {0}'),
    divergenceOf: t('KL, {0}'),
    ...figureTexts(t),
  };
}

function faultTexts(t: Translate) {
  return {
    noPrompt: { message: t('The prompt is empty.'), hint: t('Write a text that the model can go on from.') },
    noRun: {
      message: t('No run is chosen to compare with full precision.'),
      hint: t('Add one with “Add run…”.'),
    },
    busy: {
      message: t('A job is running, and texts written beside it would say nothing about speed.'),
      hint: t('Wait until it has ended, or pause it.'),
    },
    interrupted: {
      message: t('The text was stopped, since a job began.'),
      hint: t('Generate again when it has ended.'),
    },
    tooMany: { message: t('{0} runs are compared at most.'), hint: t('Remove one first.') },
    noMore: {
      message: t('There is no other run of this model that has ended.'),
      hint: t('Make one with “Optimize rotation” or “Evaluate”.'),
    },
  };
}

function emptyTexts(t: Translate) {
  return {
    nothingYet: t(
      'Here stand the texts, side by side, with tokens per second, bytes of weights and of the cache, and the KL divergence along the text.',
    ),
    empty: {
      title: t('No runs to compare yet'),
      text: t(
        'Text at full precision and that of each run stand here side by side: tokens coloured by how their probability changed, tokens per second, bytes, and the KL divergence along the text.',
      ),
      time: t('A few seconds for a small model, once there is a run.'),
      ...beginTexts(t),
    },
  };
}

export type GenerateStrings = ReturnType<typeof generateStrings>;
