import { runCommandLine } from '../../../src/cli/command-line.ts';
import { EXIT } from '../../../src/cli/failure.ts';

/** The command line said that we have a bug. */
export class ReportedBug extends Error {
  override readonly name = 'ReportedBug';
}

/**
 * Runs the command line in this process, without its output.
 * @throws ReportedBug for any exit code but those of success and of a fault that a person can mend.
 */
export async function expectNoBug(...args: string[]): Promise<void> {
  const said: string[] = [];
  const write = process.stderr.write;
  process.stderr.write = (chunk) => said.push(String(chunk)) > 0;
  try {
    const code = await runCommandLine(args);
    if (code === EXIT.success || code === EXIT.fault) return;
    throw new ReportedBug(`spinquant ${args.join(' ')}: exit code ${code}\n${said.join('')}`);
  } finally {
    process.stderr.write = write;
  }
}
