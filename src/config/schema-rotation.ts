import { z } from 'zod';
import { bitsSchema } from './schema-bits.ts';

const rotationKind = z.enum(['none', 'random', 'hadamard', 'learned']);

/** Objectives of the quantized network's own output: their derivatives pass through it. */
const THROUGH_NETWORK = ['cross-entropy', 'kl-top'] as const;
export type NetworkObjective = (typeof THROUGH_NETWORK)[number];

/** True for an objective that learns through the quantized network; false where captured activations are enough. */
export function isThroughNetwork<T extends string>(objective: T): objective is T & NetworkObjective {
  return THROUGH_NETWORK.some((one) => one === objective);
}

const learningSchema = z
  .strictObject({
    objective: z
      .enum(['cross-entropy', 'kl-top', 'peak', 'range', 'whip', 'kurtosis', 'procrustes'])
      .default('cross-entropy')
      .describe(
        'Learning makes this small. cross-entropy is the loss of the quantized network (SpinQuant); kl-top is how far its probabilities are from those of the full-precision network, on the 1000 likeliest next tokens there (OSTQuant). The others read only the distribution of captured activations, so nothing is propagated through the network and learning takes seconds. They are peak (soft peak, InfoQuant), range (squared range), whip (DartQuant) and kurtosis (KurTail), for R1 of each group where activations have a groupSize. procrustes rounds the rotated rows and takes the rotation that brings them nearest to that, in turn (DFRot). Reference: cross-entropy.',
      ),
    optimizer: z
      .enum(['cayley-sgd', 'lie-adam'])
      .nullable()
      .default(null)
      .describe(
        'The optimizer moves a rotation on the orthogonal matrices: cayley-sgd is gradient descent by the Cayley transform, lie-adam is Adam on infinitesimal rotations. null follows the objective: cayley-sgd for cross-entropy, lie-adam for the others; procrustes needs none. Reference: cayley-sgd.',
      ),
    steps: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(null)
      .describe(
        'Optimizer steps; null for 100 with cross-entropy, kl-top and procrustes, 200 with the other objectives. Reference: 100.',
      ),
    learningRate: z
      .number()
      .gt(0)
      .max(1000)
      .nullable()
      .default(null)
      .describe(
        'Learning rate at the first step; null for 1.5 with cayley-sgd (a step is also capped at 1 / ‖W‖₁ of its skew matrix W), 0.02 with lie-adam (radians, about half the largest turn of a step). Reference: 1.5.',
      ),
    batchSize: z
      .int()
      .min(1)
      .max(65_536)
      .default(8)
      .describe('Sequences in one optimizer step. Reference: 8 (one on each of 8 GPUs).'),
    schedule: z
      .enum(['cosine', 'linear', 'constant'])
      .default('cosine')
      .describe(
        'The learning rate falls to 0 over the steps by this curve, without warm-up; constant keeps it. Reference script: cosine; paper: linear.',
      ),
    gradientClip: z
      .number()
      .gt(0)
      .max(1e9)
      .nullable()
      .default(1)
      .describe(
        'Largest global norm of the gradient over all rotations; null for no clipping. Reference: 1.0 (implicit). Without it every step runs into its cap.',
      ),
    weightBits: bitsSchema
      .nullable()
      .default(null)
      .describe(
        'Bits of the weights while rotations are learned. null follows the final rounding: the bits of quantization.weights for rtn, 16 for gptq. Reference: 16 before gptq, 4 before rtn.',
      ),
    weightClip: z
      .boolean()
      .nullable()
      .default(null)
      .describe(
        'true to search clipping ratios of the weights while rotations are learned; null follows quantization.weights.clip. Reference: true, at every forward pass.',
      ),
    weightClipEvery: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(1)
      .describe(
        "One search of the weights' clipping ratios serves this many steps of learning. Rotations move little from step to step, and the search takes longer than the rotation of the weights. Reference: 1.",
      ),
    scaleGradient: z
      .boolean()
      .default(false)
      .describe(
        'true sends the gradient of cross-entropy or kl-top also through the scales of quantized activations, keys and values: it adds what the ends of each range contribute. false takes the scales as constants (straight-through). Reference: false.',
      ),
    precision: z
      .enum(['float32', 'bfloat16x2', 'bfloat16', 'bfloat16-all', 'int8'])
      .default('bfloat16-all')
      .describe(
        'The precision of the products of learning on processors that multiply bfloat16 (AMX, or AVX-512 BF16). float32 is exact to float32. bfloat16x2 takes each factor as the sum of two bfloat16 numbers, off by at most 2^-16 of it. bfloat16 does so too, but takes a single one in products of derivatives, off by at most 2^-8. bfloat16-all takes a single one in all products, forward too. int8 does so too, but products of derivatives take both factors in 8 bits, with a scale for each row and at most 768 numbers. Each number is then off by at most 1/254 of the largest of these. It is the fastest with AVX-512 BF16; with AMX it is bfloat16-all. Products of codes are exact in any case. Other processors compute in float32; evaluation has a precision of its own. Reference: bfloat16, forward too.',
      ),
    massiveWeight: z
      .int()
      .min(1)
      .max(1000)
      .default(1)
      .describe(
        'Tokens whose residual is more than ten times as long as that of the median token count so many times where rotations are learned from captured activations. Attention rests on such tokens. Reference: none; InfoQuant: 30.',
      ),
    microBatch: z
      .int()
      .min(1)
      .max(65_536)
      .nullable()
      .default(null)
      .describe(
        'Number of sequences computed at once; gradients are summed to a whole batch. null lets the product choose by memory. Reference: 1 per GPU.',
      ),
  })
  .prefault({})
  .transform((learning) => {
    const { objective } = learning;
    const fromNetwork = isThroughNetwork(objective);
    // The step of cayley-sgd follows the size of the gradient, which is that of cross-entropy.
    const isReference = objective === 'cross-entropy';
    const optimizer = learning.optimizer ?? (isReference ? ('cayley-sgd' as const) : ('lie-adam' as const));
    return {
      ...learning,
      optimizer,
      steps: learning.steps ?? (fromNetwork || objective === 'procrustes' ? 100 : 200),
      learningRate: learning.learningRate ?? (optimizer === 'cayley-sgd' ? 1.5 : 0.02),
    };
  })
  .describe('Settings of the learning of rotations marked "learned".');

export const rotationSchema = z
  .strictObject({
    r1: rotationKind
      .default('learned')
      .describe(
        'R1 rotates the residual stream, [hidden, hidden], one for the network, merged into the weights. Reference: learned.',
      ),
    r2: rotationKind
      .default('learned')
      .describe(
        'R2 rotates the values inside each head, [head, head], one per layer, merged into v_proj and o_proj. Reference: learned.',
      ),
    r2Per: z
      .enum(['layer', 'kv-head'])
      .default('layer')
      .describe(
        'The heads of a layer share one R2: layer; or each key/value head has its own, together with the query heads that read it: kv-head. Both are merged into weights. Reference: layer; DartQuant, OSTQuant: kv-head.',
      ),
    r3: z
      .boolean()
      .default(true)
      .describe(
        'R3 is an online Hadamard transform of queries and keys after RoPE. Reference: on whenever keys have fewer than 16 bits.',
      ),
    r4: z
      .boolean()
      .default(true)
      .describe(
        'R4 is an online Hadamard transform of the input of down_proj. Reference: always on. r3 and r4 off is the paper\'s "no had".',
      ),
    r4Blocks: z
      .enum(['widest', 'power-of-two'])
      .default('widest')
      .describe(
        'R4 mixes the channels of a block: widest takes the largest block that a Hadamard matrix serves, mostly all channels; power-of-two takes the largest power of two that divides their number, for which vLLM has a kernel (512 of 1536). Reference: widest.',
      ),
    acrossHeads: z
      .boolean()
      .default(false)
      .describe(
        'true adds QuaRot\'s online Hadamard transform of the input of o_proj across heads. With r2 "hadamard" it makes a Hadamard matrix of the whole width. That input then has one scale per token (or group) instead of one per head. The number of heads must be the order of a Hadamard matrix. Reference: false; QuaRot: true.',
      ),
    start: z
      .enum(['hadamard', 'random', 'captured'])
      .default('hadamard')
      .describe(
        'Learned rotations start here: hadamard is a Hadamard matrix with random signs, random is a random orthogonal matrix (QR of Gaussian). captured first moves the Hadamard start to a small soft peak of captured activations (seconds), from where cross-entropy needs far fewer steps. Reference: hadamard.',
      ),
    seed: z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0)
      .describe('Seed of random signs and random orthogonal matrices. Reference: 0.'),
    embeddingCentring: z
      .boolean()
      .default(false)
      .describe(
        'true subtracts its mean from every embedding row, as the reference does (true there). This changes the output of RMSNorm networks and is here for parity only.',
      ),
    learning: learningSchema,
  })
  .prefault({})
  .describe('The four rotations of SpinQuant and the way to find them.');

export type Rotation = z.output<typeof rotationSchema>;
export type RotationKind = Rotation['r1'];
export type Learning = Rotation['learning'];
