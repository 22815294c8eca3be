/** `npm run fuzz -- --format safetensors --count 2000 --seed 7`: tries damaged inputs by hand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { commandOf, type Failure, fuzz, grouped } from './campaign.ts';
import { FORMATS, formatNamed } from './formats/index.ts';
import { watch } from './watch.ts';

const { values } = parseArgs({
  options: {
    format: { type: 'string', default: 'all' },
    count: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    input: { type: 'string' },
  },
});

function show(failures: readonly Failure[]): void {
  for (const [one, count] of grouped(failures)) {
    console.log(`  ${count} × ${one.kind} at ${one.where || 'an unknown place'}: ${one.message}`);
    console.log(`    ${commandOf(one)}\n    input: ${one.input}`);
  }
}

async function replay(format: string, input: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'spinquant-fuzz-'));
  const seen = await watch({ format, seed: 0, first: 0, count: 1, input, keep: join(dir, 'input') });
  rmSync(dir, { recursive: true });
  for (const { fault } of seen.faults) console.log(`${fault.kind} at ${fault.where}: ${fault.message}`);
  if (seen.faults.length === 0) console.log(seen.accepted > 0 ? 'accepted' : 'refused');
  process.exitCode = seen.faults.length > 0 ? 1 : 0;
}

async function tryAll(): Promise<void> {
  const { format, count, seed, first } = values;
  const formats = format === 'all' ? FORMATS : format.split(',').map(formatNamed);
  for (const { name } of formats) {
    const outcome = await fuzz(name, Number(seed), Number(count), Number(first));
    const { accepted, refused, failures, seconds } = outcome;
    console.log(
      `${name}: ${accepted} accepted, ${refused} refused, ${failures.length} failed, ${seconds.toFixed(1)} s`,
    );
    show(failures);
    if (failures.length > 0) process.exitCode = 1;
  }
}

if (values.input === undefined) await tryAll();
else await replay(values.format, values.input);
