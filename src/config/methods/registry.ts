/** Every method has a line here. */
export { gptq } from './gptq.ts';
export { llmQat as 'llm-qat' } from './llm-qat.ts';
export { rtn } from './rtn.ts';
export { smoothquant } from './smoothquant.ts';
