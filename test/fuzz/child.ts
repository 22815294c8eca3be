/** Reads damaged inputs of one format, one after the other, and reports each. A watcher ends it where it hangs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExperimentError } from '../../src/config/index.ts';
import { systemFault } from '../../src/disk/faults.ts';
import { messageOf, UserError } from '../../src/protocol/errors.ts';
import { makeWorkspace } from './fixtures/workspace.ts';
import type { Target } from './formats/format.ts';
import { formatNamed } from './formats/index.ts';
import type { Fault, Order, Report } from './messages.ts';
import { Dice } from './mutations/dice.ts';

/** Waits until the watcher has it: a crash may come next. */
function report(message: Report): Promise<void> {
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));
}

function damaged({ originals, mutate }: Target, { seed, format }: Order, index: number): Buffer {
  const dice = new Dice(seed, format, index);
  return mutate(dice.pick(originals), dice, originals);
}

/** What was tried last; for originals, which must be accepted. */
let refusal = '';

async function attempt(target: Target, input: Buffer): Promise<'accepted' | 'refused' | Fault> {
  refusal = '';
  try {
    await target.read(input);
    return 'accepted';
  } catch (thrown) {
    const error = systemFault(thrown);
    refusal = messageOf(error);
    if (error instanceof UserError) return hasWords(error) ? 'refused' : withoutWords(error);
    return { kind: nameOf(error), message: messageOf(error).slice(0, 2000), where: placeOf(error) };
  }
}

/** A fault of an experiment says in its message what is allowed. */
function hasWords(error: UserError): boolean {
  return error.message !== '' && (error.hint !== '' || error instanceof ExperimentError);
}

function withoutWords(error: UserError): Fault {
  return { kind: 'NoHint', message: `${error.code}: ${error.message}`, where: placeOf(error) };
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

/** The innermost place in our sources, or else in anything. */
function placeOf(error: unknown): string {
  const stack = (error instanceof Error ? error.stack : '') ?? '';
  const text = `${stack}\n${messageOf(error)}`;
  const place = (pattern: RegExp): string | undefined => pattern.exec(text)?.slice(1).join(':');
  const ours = place(/\/(src\/(?!disk|protocol|cli\/failure)[^\s)?]*?)(?:\?[^:]*)?:(\d+)/);
  return ours ?? place(/\/((?:test|node_modules)\/[^\s)?]*?)(?:\?[^:]*)?:(\d+)/) ?? '';
}

async function work(order: Order): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-fuzz-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const target = await formatNamed(order.format).open(await makeWorkspace(dir));
  for (const [i, original] of target.originals.entries()) {
    if (order.first > 0) break;
    const outcome = await attempt(target, original);
    if (outcome !== 'accepted') throw new Error(`original ${i} is not accepted: ${refusal}`);
  }
  await report({ type: 'ready' });
  for (let index = order.first; index < order.first + order.count; index++) {
    const input = order.input === null ? damaged(target, order, index) : readFileSync(order.input);
    writeFileSync(order.keep, input);
    await report({ type: 'begin', index });
    const outcome = await attempt(target, input);
    await report({ type: 'end', index, outcome, peakBytes: process.resourceUsage().maxRSS * 1024 });
  }
  await report({ type: 'done' });
  process.disconnect();
}

process.once('message', (order: Order) => {
  work(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
