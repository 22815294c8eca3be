/** Every method has a line here. */
export { gptq } from './gptq.ts';
export { quip } from './quip.ts';
export { rtn } from './rtn.ts';
export { smoothquant } from './smoothquant.ts';
