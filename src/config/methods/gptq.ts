import { z } from 'zod';
import { damping, samples } from '../method-options.ts';
import type { MethodDescriptor, OptionFault } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      128,
      'GPTQ reads this many sequences of the calibration text, from its beginning; all of them where there are fewer. Reference: 128, drawn at random.',
    ),
    damping: damping(
      "This share of its mean is added to the diagonal of the inputs' second moments. More damping compensates less and trusts the sample less. Reference: 0.01.",
    ),
    actOrder: z
      .boolean()
      .default(false)
      .describe(
        'true rounds the inputs with the largest second moments first (act-order). Groups stay those of neighbouring inputs, with scales of the weights before rounding. Reference: false.',
      ),
    groupScales: z
      .enum(['static', 'updated'])
      .default('static')
      .describe(
        'The scales of a group of weights: static takes them from the weights before rounding, updated from the weights as the errors before the group have moved them. Reference: updated, but stale inside a block of 128 inputs.',
      ),
    inputs: z
      .enum(['full-precision', 'quantized'])
      .default('full-precision')
      .describe(
        'The calibration text passes through layers with rounded weights, and with activations, keys and values at full precision or quantized as they will be. Reference: full-precision.',
      ),
    target: z
      .enum(['weights', 'outputs', 'residual', 'qronos', 'gptaq'])
      .default('weights')
      .describe(
        'What the rounded weights come close to: the weights themselves, or what makes up for the quantized layers before, for a second pass of the text at full precision. outputs: the weights that give the outputs of the full-precision network on what is read. residual: the same, and o and down also make up for what the residual has drifted to which they add. qronos: the same, with the first input of each row rounded as in Qronos (Zhang et al. 2025). gptaq: the weights, corrected input by input as in GPTAQ (Li et al. 2025). Reference: weights.',
      ),
    gptaqAlpha: z
      .number()
      .gt(0)
      .max(1)
      .default(0.25)
      .describe(
        "The share of GPTAQ's correction that is made; read with target gptaq. Reference: none; GPTAQ: 0.25.",
      ),
    foem: z
      .number()
      .min(0)
      .max(0.9)
      .default(0)
      .describe(
        'β of FOEM (Zheng et al. 2025): each weight is pulled back by this share of what compensation has moved it. 0 leaves it where it is, 0.1 is what FOEM takes. Reference: none, which is 0.',
      ),
    magr: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe(
        'MagR (Zhang et al. 2024) lowers the largest weights of each row or group before they are rounded, where other weights can make up for it: how much in a step, as a share that does not depend on the size of the inputs. 0 leaves weights as they are; its authors take 0.001 for rows and 0.0001 for groups, Brevitas 0.01. Reference: none, which is 0.',
      ),
    magrSteps: z
      .int()
      .min(1)
      .max(10_000)
      .default(200)
      .describe(
        'Steps of MagR, each a product of the weights with the second moments of their inputs; read where magr is above 0. Reference: none; MagR: 200.',
      ),
    learnedClip: z
      .boolean()
      .default(false)
      .describe(
        'true learns the clip ratio of each scale before rounding, with zero points one for each end of the range, by gradient on the error of the outputs (learnable weight clipping of OmniQuant, Shao et al. 2024). It begins at the ratio that weights.clip searches, or at 1 without. Costs nothing at run time. Reference: false.',
      ),
    learnedClipSteps: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe(
        'Steps of Adam that learn clip ratios, each a product of the weights with the second moments of their inputs; read where learnedClip is on. Reference: none.',
      ),
    sweeps: z
      .int()
      .min(0)
      .max(100)
      .default(0)
      .describe(
        'Sweeps of coordinate descent after rounding: each weight goes to the nearest point for all others as they are, which never raises the error of the outputs on the calibration text; with target gptaq, that of outputs for which gptaqAlpha of the drift is made up. Reference: 0.',
      ),
  })
  .prefault({})
  .describe('Settings of GPTQ; not read with another method.');

export const gptq = {
  name: 'gptq',
  kind: 'rounding',
  title: 'GPTQ',
  summary:
    'compensates each rounding error in the later weights of its row, as the calibration text requires',
  paper: { authors: 'Frantar et al. 2023', arxiv: '2210.17323' },
  options,
  between: (value) => {
    const { actOrder, groupScales, target, foem, learnedClip } = options.parse(value);
    const faults: OptionFault[] = [];
    if (groupScales === 'updated' && actOrder)
      faults.push({
        option: 'groupScales',
        code: 'config/group-scales',
        message:
          '"updated" takes the scales when a group begins, but with actOrder inputs of all groups are rounded in turn.',
        hint: 'Set groupScales to "static", or actOrder to false.',
      });
    if (groupScales === 'updated' && (target === 'gptaq' || foem > 0))
      faults.push({
        option: 'groupScales',
        code: 'config/group-scales',
        message:
          '"updated" rounds group by group, but with foem or target "gptaq" what is handed on to later groups is not their errors alone.',
        hint: 'Set groupScales to "static", or leave foem and target "gptaq" out.',
      });
    if (groupScales === 'updated' && learnedClip)
      faults.push({
        option: 'groupScales',
        code: 'config/group-scales',
        message:
          '"updated" takes the scales of a group when it begins, but learnedClip learns them all before the first.',
        hint: 'Set groupScales to "static", or learnedClip to false.',
      });
    return faults;
  },
  copies: (value) => {
    const { groupScales, target, magr, sweeps, learnedClip } = options.parse(value);
    const sweepsDrift = target === 'gptaq' && sweeps > 0;
    const toOutputs = target === 'outputs' || target === 'residual' || target === 'qronos' || sweepsDrift;
    return {
      // The drift, and the memory in which it is summed and solved; its share that sweeps make up for, likewise.
      moments: (target === 'weights' ? 0 : 2) + (sweepsDrift ? 2 : 0),
      // What groups feed to later ones, before and after each group, and parts of the weight; the target, what
      // Qronos begins with, and the drift of the residual with memory to solve it; two versions of reduced weights; what
      // a step of learned clip ratios computes: codes before and behind their ends, weights on the grid, their errors,
      // products of these, and what moves with the ends.
      weights:
        (groupScales === 'updated' ? 3 : 0) +
        (toOutputs ? 1 : 0) +
        (target === 'qronos' ? 1 : 0) +
        (target === 'residual' ? 2 : 0) +
        (magr > 0 ? 2 : 0) +
        (learnedClip ? 6 : 0),
    };
  },
  needsText: 'to see which errors of the weights matter',
  compensates: true,
  isInEveryKey: true,
} as const satisfies MethodDescriptor;
