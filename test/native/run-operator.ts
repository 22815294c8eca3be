/** Run as a process of its own: a node of ours in the ONNX Runtime of this library. Prints its version and the results. */
import { loadAddon } from '../../src/engine/runtime/addon.ts';
import { ONNX_ELEMENT_TYPE } from '../../src/engine/runtime/element-types.ts';
import { onnxModel } from './onnx-model.ts';

const [library = ''] = process.argv.slice(2);
const [rows, columns] = [3, 5];
const addon = loadAddon()!;
const environment = addon.open(library, 1, 'portable');
const value = (name: string) => ({ name, dims: [rows, columns] });
const node = { op: 'RmsNorm', domain: 'spinquant', inputs: ['x'], outputs: ['y'] };
const model = onnxModel([node], [value('x')], [value('y')]);
const session = await addon.createSession(environment, model, 1, 0, '');
const count = rows * columns;
const x = Float32Array.from({ length: count }, (_, i) => i - 4);
const y = new Float32Array(count);
const tensor = [ONNX_ELEMENT_TYPE.float32, 0, 4 * count, 2, rows, columns];
await addon.run(session, [x, y], Float64Array.of(1, 1, ...tensor, 0, ...tensor), null);
console.log(JSON.stringify({ version: addon.ortVersion(environment), y: [...y] }));
