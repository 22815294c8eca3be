import type { SpeedRequest, SpeedResult } from '../../engine/index.ts';
import { UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import { BESIDE_NAMES, type BesideName, type SpeedEvent } from '../../protocol/speed.ts';
import { loadEngine } from '../engine.ts';
import type { KernelOption } from '../experiment.ts';
import { interruptible } from '../interrupt.ts';
import type { Output } from '../output.ts';
import { ProgressLines } from '../progress.ts';
import { speedText } from '../speed-table.ts';
import { runsFolder } from './runs.ts';

/** Numbers are in their ranges. */
export interface BenchFlags {
  readonly promptTokens?: number;
  readonly tokens?: number;
  readonly depths?: readonly number[];
  readonly repeat?: number;
  readonly threads?: number;
  readonly beside?: readonly BesideName[];
  readonly headBits?: 16 | 8;
  readonly llamaBench?: string;
  readonly gguf?: string;
  readonly kernels: KernelOption;
}

/** Measures a run or model beside what else would be used, and prints a table. */
export async function bench(named: string, flags: BenchFlags, output: Output): Promise<undefined> {
  const llama = llamaOf(flags);
  const engine = await loadEngine();
  const { promptTokens = null, tokens = null, depths = null, repeat = null, threads = null } = flags;
  const request: SpeedRequest = {
    from: await engine.findWriter(named, await runsFolder('.')),
    ...{ promptTokens, tokens, depths, repeat, threads, llama },
    headBits: flags.headBits ?? 16,
    beside: flags.beside ?? BESIDE_NAMES.filter((name) => name !== 'simulated'),
  };
  const { kernels } = flags;
  const result = await interruptible(output, (signal) =>
    show(engine.measureSpeed(request, { signal, kernels }), output),
  );
  output.document(result);
  output.result(speedText(result));
  for (const { reason } of result.left) output.note(reason);
  if (llama === null)
    output.note(
      'llama.cpp is measured beside it with --llama-bench PROGRAM --gguf FILE: its releases have a program llama-bench.',
    );
}

/** @throws UserError `cli/not-used` where one of two is missing. */
function llamaOf({ llamaBench, gguf }: BenchFlags): SpeedRequest['llama'] {
  if (llamaBench !== undefined && gguf !== undefined) return { program: llamaBench, gguf };
  if (llamaBench === undefined && gguf === undefined) return null;
  const [given, missing] =
    gguf === undefined ? ['--llama-bench', '--gguf FILE'] : ['--gguf', '--llama-bench PROGRAM'];
  throw new UserError(
    'cli/not-used',
    `There is no ${missing}: ${given} would not be used.`,
    `Add ${missing}, or leave ${given} out.`,
  );
}

/** Shows what is measured at the moment. */
async function show(
  measuring: AsyncGenerator<RunEvent | SpeedEvent, SpeedResult>,
  output: Output,
): Promise<SpeedResult> {
  const progress = new ProgressLines(output);
  let round: number | null = null;
  try {
    for (;;) {
      const next = await measuring.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.type !== 'speed-progress') progress.show(event);
      else if (output.live) output.status(progressText(event));
      else if (event.round !== round) output.note(progressText(event));
      if (event.type === 'speed-progress') round = event.round;
    }
  } finally {
    progress.end();
    // Left in the middle, it closes what it opened; at its end this does nothing.
    await measuring.return(undefined as never);
  }
}

function progressText({ name, round, of, depth }: SpeedEvent): string {
  const where = depth === null ? 'prompt and what follows' : `behind ${depth} tokens`;
  return `${where}: ${round === 0 ? 'warming up' : `round ${round}/${of}`}, ${name}`;
}
