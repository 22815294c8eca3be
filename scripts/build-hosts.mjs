/**
 * Builds test/native/host: the operators in a program, for processors that are not at hand. Tests alone use these.
 * What the product runs on this processor is not built again.
 */
import path from 'node:path';
import {
  compilations,
  compileAll,
  findCompiler,
  knownSpecialSets,
  link,
  RELEASE,
  SANITIZED,
  sourceFiles,
} from './build-native.mjs';
import { ROOT } from './project.mjs';

/** Relative to native-kernels, as all units. */
const HOST = path.join('..', 'test', 'native', 'host');
const PROGRAM = { file: path.join(HOST, 'operator-host.cc'), object: 'operator-host.o', flags: [] };

/** Optimized for speed, kernels take three times as long to compile; tests call them on small sizes. */
const ARM64 = { output: path.join(ROOT, 'build', 'host-arm64'), flags: ['-O1'] };
/** Accesses to memory are checked in the bodies for tiles and in the program, which has the tensors. */
const TILES = { output: path.join(ROOT, 'build', 'host-tiles'), flags: SANITIZED.flags };

/**
 * How to start a program, or why there is none.
 * @typedef {{command: string[]} | {missing: string}} Host
 */

/** What ONNX Runtime sees is left out. */
const isOperator = (file) =>
  ['cpu', 'operator', 'ops'].includes(file.split(path.sep)[0]) &&
  !['custom_op.cc', 'memory_reuse.cc'].includes(path.basename(file));

const targetOf = (flags) => ({
  name: 'operator-host',
  stamp: 'operator-host.stamp',
  holds: () => true,
  flags: ['-pthread', ...flags],
});

/** For 64-bit ARM with products of bytes, in the hands of QEMU. @returns {Promise<Host>} */
export async function buildArmHost() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { missing: 'an ARM processor is emulated on Linux on x64 alone' };
  const compiler = await findCompiler(['aarch64-linux-gnu-g++']);
  if (!compiler) return { missing: 'aarch64-linux-gnu-g++ is not installed' };
  const emulator = await findCompiler(['qemu-aarch64', 'qemu-aarch64-static']);
  if (!emulator) return { missing: 'qemu-aarch64 is not installed' };
  const files = (await sourceFiles()).filter(isOperator);
  const units = compilations(files, await knownSpecialSets(compiler), { portable: [] });
  const compiled = await compileAll(compiler, [...units, PROGRAM], ARM64);
  // Libraries for ARM need not be where QEMU looks for them.
  const target = targetOf(['-static']);
  await link(compiler, compiled, target, ARM64);
  return { command: [emulator.command, path.join(ARM64.output, target.name)] };
}

/** For AMX, whose instructions are emulated one by one; all others must be there. @returns {Promise<Host>} */
export async function buildTileHost() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return { missing: 'tiles are emulated on Linux on x64 alone' };
  const compiler = await findCompiler();
  if (!compiler) return { missing: 'no C++ compiler was found' };
  const special = await knownSpecialSets(compiler);
  if (special.amx.length === 0) return { missing: `${compiler.command} does not know AMX` };
  const files = (await sourceFiles()).filter(isOperator);
  const units = compilations(files, special);
  const before = path.join(HOST, 'emulated-tiles.h');
  const inTiles = units.filter(({ file }) => path.basename(file) === 'amx.cc');
  const told = { file: path.join(HOST, 'told-processor.cc'), object: 'told-processor.o', flags: [] };
  const own = [...inTiles.map((unit) => ({ ...unit, before })), told, PROGRAM];
  const others = units.filter((unit) => !inTiles.includes(unit) && unit.file !== path.join('cpu', 'isa.cc'));
  const compiled = [
    ...(await compileAll(compiler, others, RELEASE)),
    ...(await compileAll(compiler, own, TILES)),
  ];
  const target = targetOf([]);
  await link(compiler, compiled, target, TILES);
  return { command: [path.join(TILES.output, target.name)] };
}
