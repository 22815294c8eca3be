/** Run as a process of its own: maps a file, loses it in the way asked for, and computes with it. */
import { truncateSync } from 'node:fs';
import { runInThisContext } from 'node:vm';
import { loadAddon, ortLibraryPath } from '../../src/engine/runtime/addon.ts';
import { ONNX_ELEMENT_TYPE } from '../../src/engine/runtime/element-types.ts';
import { onnxModel } from './onnx-model.ts';

const [file = '', way = ''] = process.argv.slice(2);
const COUNT = 2 ** 20;
const addon = loadAddon()!;
const environment = addon.open(ortLibraryPath()!, 2, 'portable');
const value = (name: string) => ({ name, dims: [COUNT] });
const model = onnxModel([{ op: 'Neg', inputs: ['x'], outputs: ['y'] }], [value('x')], [value('y')]);
const session = await addon.createSession(environment, model, 1, 0, '');
const map = addon.mapFile(file);
const y = new Float32Array(COUNT);
const { float32 } = ONNX_ELEMENT_TYPE;
const layout = Float64Array.of(1, 1, float32, 0, 4 * COUNT, 1, COUNT, 0, float32, 0, 4 * COUNT, 1, COUNT);

await addon.run(session, [map, y], layout, null);
console.log(`computed ${y[COUNT - 1]}`);
if (way === 'truncate') truncateSync(file, 4096);
if (way === 'signal') process.kill(process.pid, 'SIGBUS');
if (way === 'wasm') catchTrap();
await addon.run(session, [map, y], layout, null);
console.log('computed again');

/** WebAssembly finds out by a fault of the same kind that it reads outside of its memory. */
function catchTrap(): void {
  // (func (export "f") (result i32) (i32.load (i32.const 0x7fffffff))) with a memory of one page
  const head = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1];
  const code = [7, 5, 1, 1, 102, 0, 0, 10, 13, 1, 11, 0, 65, 255, 255, 255, 255, 7, 40, 2, 0, 11];
  const module = `new WebAssembly.Module(Uint8Array.of(${[...head, ...code]}))`;
  console.log(
    runInThisContext(
      `try { new WebAssembly.Instance(${module}).exports.f() } catch (error) { error.message }`,
    ),
  );
}
