import type { Device } from '../../config/index.ts';
import type { GenerateRequest, GenerateResult } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { GenerationEvent, TextEnd } from '../../protocol/generation.ts';
import { formatBytes, formatCount, formatSeconds } from '../../protocol/text.ts';
import { loadEngine } from '../engine.ts';
import type { KernelOption } from '../experiment.ts';
import { EXIT, type ExitCode } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { flushStdout, type Output } from '../output.ts';
import { productsText } from '../products-text.ts';
import { ProgressLines } from '../progress.ts';
import { runsFolder } from './runs.ts';

/** Numbers are in their ranges. */
export interface GenerateFlags {
  readonly prompt: string;
  readonly tokens?: number;
  readonly chat?: true;
  readonly system?: string;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly cache?: 16 | 8 | 4;
  readonly headBits?: 16 | 8;
  /** Quantization is simulated in float32. */
  readonly simulate?: true;
  readonly kernels: KernelOption;
  readonly device?: Device;
}

export async function generate(
  named: string,
  flags: GenerateFlags,
  output: Output,
): Promise<ExitCode | undefined> {
  expectUsed(flags);
  expectUtf8(flags);
  const engine = await loadEngine();
  const request = { from: await engine.findWriter(named, await runsFolder('.')), ...requestOf(flags) };
  const { kernels, device } = flags;
  const result = await interruptible(output, (signal) =>
    show(engine.generateText(request, { signal, kernels, device }), output),
  );
  output.document(result);
  output.note(factsOf(result));
  if (result.products !== null) output.note(productsText(result.products));
  return result.ended === 'cancelled' ? EXIT.cancelled : undefined;
}

function requestOf(flags: GenerateFlags): Omit<GenerateRequest, 'from'> {
  const { prompt, chat, system = null, tokens = null, seed = 0, stop = [], cache = null } = flags;
  const { simulate = false, headBits } = flags;
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = flags;
  return {
    prompt: { text: prompt, chat: chat ? { system } : null },
    tokens,
    choice: { repetitionPenalty, temperature, topK, topP, minP },
    seed,
    stops: stop,
    cacheBits: cache,
    simulated: simulate,
    headBits,
  };
}

/** @throws UserError `cli/not-used` */
function expectUsed({ chat, system, temperature = 0, ...flags }: GenerateFlags): void {
  if (system !== undefined && !chat)
    throw unused('--system', 'There is no --chat', 'Add --chat, or leave --system out.');
  const drawn = { topK: '--top-k', topP: '--top-p', minP: '--min-p', seed: '--seed' } as const;
  const names = ['topK', 'topP', 'minP', 'seed'] as const;
  const name = names.find((it) => flags[it] !== undefined);
  if (temperature > 0 || name === undefined) return;
  const hint = `Set --temperature above 0 to draw tokens, or leave ${drawn[name]} out.`;
  throw unused(drawn[name], 'At temperature 0 the most likely token is taken', hint);
}

function unused(option: string, why: string, hint: string): UserError {
  return new UserError('cli/not-used', `${why}: ${option} would not be used.`, hint);
}

/** Node puts U+FFFD in the place of bytes that are no UTF-8. @throws UserError `cli/not-utf8` */
function expectUtf8({ prompt, system = '', stop = [] }: GenerateFlags): void {
  const texts = { '--prompt': prompt, '--system': system, '--stop': stop.join('') };
  for (const [option, text] of Object.entries(texts)) {
    const place = text.indexOf('\ufffd');
    if (place < 0) continue;
    throw new UserError(
      'cli/not-utf8',
      `${option} has bytes that are no UTF-8 (or the character U+FFFD that stands for such) after ${JSON.stringify(text.slice(Math.max(0, place - 20), place))}.`,
      'Write the text in UTF-8.',
    );
  }
}

/** Shows text as it comes, and what is done before it as progress. */
async function show(
  writing: AsyncGenerator<RunEvent | GenerationEvent, GenerateResult>,
  output: Output,
): Promise<GenerateResult> {
  const progress = new ProgressLines(output);
  try {
    for (;;) {
      const next = await writing.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.type === 'token' || event.type === 'text-end') {
        const end = event.type === 'text-end' ? '\n' : '';
        // A reader that has gone, such as `head`, is not written for.
        if (!output.stream(event.text + end)) await flushStdout();
      } else if (event.type !== 'prompt') progress.show(event);
    }
  } finally {
    progress.end();
    // Left in the middle, it closes what it opened; at its end this does nothing.
    await writing.return(undefined as never);
  }
}

const ENDINGS: Readonly<Record<Exclude<TextEnd, 'stop'>, string>> = {
  tokens: 'as many tokens as asked for',
  'end-token': 'the token that ends a text',
  cancelled: 'cancelled; this was written so far',
};

/** `40 tokens: the token that ends a text · prompt of 5 tokens in 0.1 s · 31.2 tokens/s · weights 9.1 MiB · keys and values 1.2 MiB`. */
function factsOf(result: GenerateResult): string {
  const { ids, promptIds, ended, stop, seconds, tokensPerSecond } = result;
  const { weightBytes, cacheBytes, cacheOf16Bits, headBits, bits, device } = result;
  const end = ended === 'stop' ? `the stop string ${JSON.stringify(stop)}` : ENDINGS[ended];
  const rate = tokensPerSecond.decode;
  return [
    `${formatCount(ids.length, 'token')}: ${end}`,
    `prompt of ${formatCount(promptIds.length, 'token')} in ${formatSeconds(seconds.prefill)}`,
    ...(rate === null ? [] : [`${rate.toPrecision(3)} tokens/s`]),
    ...(device.kind === 'cpu' ? [] : [`${bits} on ${device.adapter ?? device.kind}`]),
    `weights ${formatBytes(weightBytes)}${headBits < 16 ? `, the output layer in ${headBits} bits` : ''}`,
    `keys and values ${formatBytes(cacheBytes)}${cacheOf16Bits < 1 ? `, ${cacheOf16Bits.toFixed(3)} of 16 bits` : ''}`,
  ].join(' · ');
}
