import { CommanderError } from 'commander';
import { EXIT, type ExitCode, reportFailure } from './failure.ts';
import { createOutput, flushStdout } from './output.ts';
import { buildProgram } from './program.ts';
import { hasPart } from './ranks.ts';

/** Runs one command line. @returns the exit code: 0 success, 1 a fault in the input, 2 a bug, 130 cancelled. */
export async function runCommandLine(args: readonly string[]): Promise<ExitCode> {
  const output = createOutput(args.includes('--json'));
  let exitCode: ExitCode = EXIT.success;
  try {
    if (!(await hasPart(args))) return exitCode;
    const program = buildProgram(output, (code) => {
      exitCode = code;
    });
    await program.parseAsync([...args], { from: 'user' });
    await flushStdout();
    return exitCode;
  } catch (error) {
    // Commander has printed its message or the requested help.
    if (error instanceof CommanderError && !output.json)
      return error.exitCode === 0 ? EXIT.success : EXIT.fault;
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.success;
    return reportFailure(error, output);
  }
}
