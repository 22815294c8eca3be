/** Every method has a line here. */
export { gptq } from './gptq.ts';
export { omniquant } from './omniquant.ts';
export { rtn } from './rtn.ts';
export { smoothquant } from './smoothquant.ts';
