/** The operators of another program (operator-host.cc) in the place of the addon's. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Addon, ProbeTensor } from '../../../src/engine/runtime/addon.ts';

/** Names the command of the program, as JSON, for a process whose tests run on it. */
export const HOST_COMMAND = 'SPINQUANT_OPERATOR_HOST';

type Data = ProbeTensor['data'];

const bytesOf = (data: Data): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

const wordsOf = (input: ProbeTensor | null): string =>
  input ? [input.data.byteLength, input.dims.length, ...input.dims].join(' ') : 'absent';

/** Calls must return with their results: so bytes go through named pipes, which are read and written in place. */
class Host {
  readonly instructionSets: string[];
  readonly #requests: number;
  readonly #answers: number;

  constructor([command, ...args]: readonly string[]) {
    const folder = mkdtempSync(join(tmpdir(), 'operator-host-'));
    const [requests, answers] = ['requests', 'answers'].map((name) => join(folder, name)) as [string, string];
    execFileSync('mkfifo', [requests, answers]);
    // Opened for both, a pipe waits for nobody. Afterwards each end has one owner, so that the other sees it die.
    const both = [requests, answers].map((path) => openSync(path, 'r+'));
    this.#requests = openSync(requests, 'w');
    this.#answers = openSync(answers, 'r');
    const ends = [openSync(requests, 'r'), openSync(answers, 'w')];
    const child = spawn(command!, args, { stdio: [ends[0], ends[1], 'inherit'] });
    for (const end of [...both, ...ends]) closeSync(end);
    rmSync(folder, { recursive: true });
    child.unref();
    this.instructionSets = this.#readLine().trim().split(' ');
  }

  /** As {@link Addon.runOperator}; what is refused is thrown. */
  run(
    name: string,
    instructionSet: string,
    attributes: Readonly<Record<string, number>>,
    inputs: readonly (ProbeTensor | null)[],
    outputs: readonly (Float32Array | Uint16Array | Int8Array)[],
    threads: number,
  ): void {
    const given = inputs.filter((input) => input !== null);
    const named = Object.entries(attributes).map((pair) => pair.join(' '));
    const words = [
      ...[name, instructionSet, threads],
      ...[named.length, ...named],
      ...[inputs.length, ...inputs.map(wordsOf)],
      ...[outputs.length, ...outputs.map((output) => output.byteLength)],
    ];
    this.#write(Buffer.from(`${words.join(' ')}\n`));
    for (const { data } of given) this.#write(bytesOf(data));
    const answer = this.#readLine();
    if (answer !== 'done') throw new Error(answer.replace(/^refused /, ''));
    for (const output of outputs) this.#read(bytesOf(output));
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#requests, bytes, at);
  }

  #read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(this.#answers, bytes, at, bytes.length - at, null);
      if (count === 0) throw new Error('the program with the operators has ended; it says why above');
      at += count;
    }
  }

  #readLine(): string {
    const characters: number[] = [];
    for (const one = new Uint8Array(1); ; characters.push(one[0]!)) {
      this.#read(one);
      if (one[0] === 10) return Buffer.from(characters).toString();
    }
  }
}

/**
 * The addon with the operators of the program that {@link HOST_COMMAND} names, on the last of its instruction sets
 * alone; undefined where none is named.
 */
export function hostAddon(addon: Addon | undefined): Addon | undefined {
  const command = process.env[HOST_COMMAND];
  if (command === undefined) return undefined;
  const host = new Host(JSON.parse(command) as string[]);
  return {
    ...(addon as Addon),
    instructionSets: () => host.instructionSets.slice(-1),
    runOperator: (name, instructionSet, attributes, inputs, outputs, threads) => {
      host.run(name, instructionSet, attributes, inputs, outputs, threads);
      return [];
    },
  };
}
