import { Command, Option } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { BESIDE_NAMES } from '../protocol/speed.ts';
import { TABLE_FORMATS } from '../protocol/table-formats.ts';
import { dtype, format, ggufType, hadamard, tableBits, target, weights } from './export-options.ts';
import type { ExitCode } from './failure.ts';
import {
  collectStop,
  MAX_TOKENS,
  parseBeside,
  parseCache,
  parseDepths,
  parseHeadBits,
  parseReal,
  parseSeed,
  parseTableBits,
  parseWhole,
  SHARE,
} from './option-values.ts';
import type { Output } from './output.ts';

/** A command's own module is imported when the command runs. */
type Run = () => Promise<ExitCode | undefined>;

/**
 * Builds the command line.
 * @param setExit called with the exit code of a command that ends without an exception.
 */
export function buildProgram(output: Output, setExit: (code: ExitCode) => void): Command {
  const program = new Command('spinquant')
    .description('Learn the rotations that let large language models survive 4-bit quantization.')
    .version(manifest.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showHelpAfterError('(spinquant --help shows what is allowed)')
    .exitOverride();
  const done = async (run: Run) => {
    const code = await run();
    if (code !== undefined) setExit(code);
  };
  addOptimize(program, output, done);
  addEvaluate(program, output, done);
  addInspect(program, output, done);
  addMatrixCommands(program, output, done);
  addClusterCommands(program, output, done);
  addSweep(program, output, done);
  addImports(program, output, done);
  addExports(program, output, done);
  addGenerate(program, output, done);
  addBench(program, output, done);
  addOtherCommands(program, output, done);
  return program;
}

type Done = (run: Run) => Promise<void>;

const json = () => new Option('--json', 'print one JSON document on stdout, progress on stderr');
const kernels = () =>
  new Option(
    '--kernels <source>',
    'custom operators: native code (on the CPU), or composed of standard operators',
  )
    .choices(['auto', 'native', 'composed'])
    .default('auto');
const device = () =>
  new Option('--device <device>', "compute on this device instead of the experiment's").choices([
    'auto',
    'cpu',
    'webgpu',
    'cuda',
  ]);

const cluster = () =>
  new Option(
    '--cluster [file]',
    'on a Slurm cluster, as "cluster" of the experiment says, or this file with the same keys',
  );

function addOptimize(program: Command, output: Output, done: Done): void {
  program
    .command('optimize <file>')
    .description(
      'learn the rotations of an experiment, write a run folder, evaluate; with a matrix, fill its table, from where it stopped',
    )
    .option(
      '--resume [run]',
      'go on with a stopped run: its folder or name; without one, the newest that fits',
    )
    .option(
      '--take-over',
      'with --resume, and for a table: also take what another process is, or may be, at work on',
    )
    .option('--seed <n>', 'use this rotation seed instead of the one in the file', parseSeed)
    .addOption(cluster().conflicts('local'))
    .option('--local', 'compute here, also where "cluster" names a scheduler')
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((file, options) =>
      done(async () => (await import('./commands/optimize.ts')).optimize(file, options, output)),
    );
}

function addEvaluate(program: Command, output: Output, done: Done): void {
  program
    .command('evaluate <file-or-run>')
    .description(
      'measure perplexity at full precision and quantized; with GPTQ, weights are rounded by the calibration text first. A run folder stands for its experiment, with the rotations and rounded weights of the run',
    )
    .option(
      '--integer',
      'run the quantized network with integer matmuls (products of whole numbers), with weights packed into 4 bits, as it is deployed; where that cannot be, the result says why. On a GPU: run it as an ONNX model with 8-bit activations',
    )
    .option('--rotations <path>', 'learned rotations: a run folder or a .safetensors file')
    .option('--run <folder>', 'use the rotations of this run and add the results to it')
    .addOption(
      new Option(
        '--keep',
        'keep the results: in the run of the rotations where its settings are the same, else in a run of their own',
      ).conflicts('run'),
    )
    .addOption(new Option('--save', 'the same as --keep').conflicts('run').implies({ keep: true }))
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((file, options) =>
      done(async () => (await import('./commands/evaluate.ts')).evaluate(file, options, output)),
    );
}

function addInspect(program: Command, output: Output, done: Done): void {
  program
    .command('inspect <file-or-model>')
    .description('experiment: activation statistics before and after rotation; model folder: its contents')
    .option('--rotations <path>', 'learned rotations: a run folder or a .safetensors file')
    .option('--out <file>', 'also write the statistics to this JSON file')
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((path, options) =>
      done(async () => (await import('./commands/inspect.ts')).inspect(path, options, output)),
    );
  program
    .command('attribute <file-or-run>')
    .description(
      'show where quantization costs the loss, by layer and by what is rounded there, before or after rotations are learned; a run folder stands for its experiment, with its rotations and rounded weights',
    )
    .option('--rotations <path>', 'learned rotations: a run folder or a .safetensors file')
    .option(
      '--exact',
      'also measure each rounding by switching it: as many evaluations as there are roundings',
    )
    .option(
      '--curve',
      'also measure perplexity against average bits, with 8 bits in the costliest places: eight evaluations',
    )
    .option(
      '--tokens <n>',
      'predict so many tokens of the calibration text (8192)',
      parseWhole(2, 10_000_000),
    )
    .option('--out <file>', 'also write the attribution to this JSON file')
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((path, options) =>
      done(async () => (await import('./commands/attribute.ts')).attribute(path, options, output)),
    );
}

function addMatrixCommands(program: Command, output: Output, done: Done): void {
  program
    .command('plan <file>')
    .description(
      'list what optimize would run, what is there already, and what each step takes; with --cluster, the jobs, what they ask for and their script',
    )
    .addOption(cluster())
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((file, options) =>
      done(async () => (await import('./commands/plan.ts')).plan(file, options, output)),
    );
  program
    .command('table <file>')
    .description('print the table of an experiment with a matrix, as far as it is filled')
    .addOption(new Option('--format <format>', 'format of the table').choices(TABLE_FORMATS))
    .addOption(json())
    .action((file, options) =>
      done(async () => (await import('./commands/table.ts')).table(file, options, output)),
    );
}

function addClusterCommands(program: Command, output: Output, done: Done): void {
  program
    .command('cluster <action> <file>')
    .description(
      'status: list the jobs of an experiment in the queue of the cluster, with the reason why they wait; cancel: end them, and keep what they did',
    )
    .addOption(json())
    .action((action, file, _options) =>
      done(async () => (await import('./commands/cluster.ts')).cluster(action, file, output)),
    );
  program
    .command('run-step <file>')
    .description(
      'run a step of a cell of a matrix, then what the cell lacks, as far as no other process is at work on it: a job of the cluster does this',
    )
    .requiredOption('--cell <key>', 'the cell, by the key that its run has')
    .option('--step <name>', 'the step that comes first, by the name that the script of the jobs has')
    .option('--token <text>', 'the submission that it belongs to')
    .option('--expect <version>', 'refuse to run in another version of SpinQuant Lab')
    .option('--threads <n>', "threads, where the experiment doesn't say", parseWhole(1, 1024))
    .option('--runs <folder>', "the folder of runs, instead of the experiment's")
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((file, options) =>
      done(async () => (await import('./commands/run-step.ts')).runStep(file, options, output)),
    );
}

function addSweep(program: Command, output: Output, done: Done): void {
  program
    .command('sweep [folder]')
    .description(
      'list the results that runs share and that no run uses any more, in a runs folder, of an experiment file, or in this folder',
    )
    .option('--delete', 'delete them')
    .addOption(json())
    .action((folder, options) =>
      done(async () => (await import('./commands/sweep.ts')).sweep(folder ?? '.', options, output)),
    );
}

function addImports(program: Command, output: Output, done: Done): void {
  program
    .command('import <source> [folder]')
    .description(
      'convert a GGUF file (F32, F16, BF16, Q8_0, Q5_0, Q5_1, Q4_0, Q4_1, IQ4_NL, IQ4_XS, Q2_K to Q6_K) or a llama2.c checkpoint (.bin, versions 0, 1, 2) to a Hugging Face model folder',
    )
    .option('--out <folder>', 'the model folder to make, if not named as an argument; else beside the source')
    .addOption(
      new Option(
        '--dtype <dtype>',
        'dtype for weights that a GGUF file has quantized: float32 is exact, bfloat16 rounds and takes half the space',
      )
        .choices(['float32', 'bfloat16'])
        .default('float32'),
    )
    .option('--tokenizer <file>', 'the tokenizer (.bin) of a llama2.c checkpoint')
    .addOption(json())
    .action((source, folder, options) =>
      done(async () => (await import('./commands/import.ts')).importModel(source, folder, options, output)),
    );
  program
    .command('download <name>')
    .description(
      'fetch from the Hub to the cache: a model (ORG/NAME), a data set (hf://datasets/ORG/NAME/FOLDER), or all that an experiment file names',
    )
    .option('--split <split>', 'the split of a data set, for example "test"')
    .addOption(json())
    .action((name, options) =>
      done(async () => (await import('./commands/download.ts')).download(name, options, output)),
    );
}

function addExports(program: Command, output: Output, done: Done): void {
  program
    .command('export <run>')
    .description(
      'write the learned rotations of a run to a file, or its quantized model (of a model folder: the model) to a folder',
    )
    .addOption(format())
    .option('--out <path>', 'the file, or for a model the folder, to write')
    .option('--plan', 'tell what a checkpoint can hold of the run, and write nothing')
    .option('--measure', 'measure first, on a few windows, what the other program would compute')
    .addOption(dtype())
    .addOption(weights())
    .addOption(ggufType())
    .addOption(hadamard())
    .addOption(target())
    .option('--embeddings <bits>', tableBits('embeddings'), parseTableBits)
    .option('--head <bits>', tableBits('the output layer'), parseTableBits)
    .addOption(kernels())
    .addOption(json())
    .action((run, options) =>
      done(async () => (await import('./commands/export.ts')).exportRun(run, options, output)),
    );
  program
    .command('runs [folder]')
    .description('list the runs of a runs folder, an experiment file, or this folder')
    .addOption(json())
    .action((folder, _options) =>
      done(async () => (await import('./commands/runs.ts')).runs(folder ?? '.', output)),
    );
}

function addGenerate(program: Command, output: Output, done: Done): void {
  program
    .command('generate <model-or-run>')
    .description(
      'write text behind a prompt: a model folder, or a model on the Hub, at full precision; a run, by its folder or name, as its quantized network',
    )
    .requiredOption('--prompt <text>', 'the text to go on from; with --chat, what the user says')
    .option('--tokens <n>', 'write at most so many tokens', parseWhole(1, MAX_TOKENS))
    .option('--chat', "write the prompt by the model's chat template")
    .option('--system <text>', 'with --chat: the system message')
    .option(
      '--temperature <t>',
      'draw tokens, by logits divided by this; 0, the default, takes the most likely',
      parseReal('a number from 0 up', (t) => t >= 0),
    )
    .option('--top-k <k>', 'draw among the k most likely tokens', parseWhole(1, MAX_TOKENS))
    .option('--top-p <p>', 'draw among the most likely tokens that have this probability together', SHARE)
    .option('--min-p <p>', 'draw among tokens with this share of the largest probability', SHARE)
    .option(
      '--repetition-penalty <x>',
      'make tokens that the text has less likely: above 1; 1, the default, leaves them alone',
      parseReal('a number above 0', (x) => x > 0),
    )
    .option('--seed <n>', 'decides every draw; 0 by default', parseSeed)
    .option(
      '--cache <bits>',
      'round keys and values to 16, 8 or 4 bits, instead of as the run does',
      parseCache,
    )
    .option(
      '--head-bits <bits>',
      'round the output layer to 8 bits, and what it reads; 16, the default, leaves it as it is stored',
      parseHeadBits,
    )
    .option(
      '--simulate',
      'of a run: simulate quantization in float32 (fake quantization) instead of integer matmuls',
    )
    .option('--stop <text>', 'end before this text; may be given several times', collectStop)
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((named, options) =>
      done(async () => (await import('./commands/generate.ts')).generate(named, options, output)),
    );
}

function addBench(program: Command, output: Output, done: Done): void {
  const count = parseWhole(1, MAX_TOKENS);
  program
    .command('bench <model-or-run>')
    .description(
      'measure how fast a run (or a model) reads a prompt and tokens behind it, in turn with its full precision and with stock ONNX Runtime; with llama.cpp where it is named',
    )
    .option('--prompt-tokens <n>', 'tokens of the prompt; 512, or as many as there is room for', count)
    .option('--tokens <n>', 'tokens behind the prompt; 128, or as many as there is room for', count)
    .option(
      '--depths <list>',
      'also measure 32 tokens behind so many; "128,2048,8192" where the model has room, "none" for none',
      parseDepths,
    )
    .option('--repeat <n>', 'rounds that count; 3 by default', parseWhole(1, 1000))
    .option('--threads <n>', "threads of each; the run's, or all processors, by default", parseWhole(1, 1024))
    .option(
      '--beside <list>',
      `what is measured beside it: ${BESIDE_NAMES.join(', ')}; "full-precision,onnx" by default, "none" for nothing`,
      parseBeside,
    )
    .option(
      '--head-bits <bits>',
      'bits of the output layer of the run, 8 or 16, as for generate',
      parseHeadBits,
    )
    .option('--llama-bench <program>', 'llama-bench of llama.cpp, or a program that takes its options')
    .option('--gguf <file>', 'the model file that llama.cpp reads')
    .addOption(kernels())
    .addOption(json())
    .action((named, options) =>
      done(async () => (await import('./commands/bench.ts')).bench(named, options, output)),
    );
}

function addOtherCommands(program: Command, output: Output, done: Done): void {
  program
    .command('doctor')
    .description('check what this machine offers: Node, ONNX Runtime, native kernels')
    .addOption(json())
    .action(() => done(async () => (await import('./commands/doctor.ts')).doctor(output)));
  program
    .command('schema')
    .description('print the JSON schema of the experiment file')
    .addOption(json())
    .action(() => done(async () => (await import('./commands/schema.ts')).schema()));
  program
    .command('demo')
    .description('compare rounding to nearest, Hadamard and learned rotations on a small model')
    .addOption(device())
    .addOption(kernels())
    .addOption(json())
    .action((options) => done(async () => (await import('./commands/demo.ts')).demo(options, output)));
}
