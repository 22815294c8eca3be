/** Every method: a line each. */
export { gptq } from './gptq.ts';
export { rtn } from './rtn.ts';
