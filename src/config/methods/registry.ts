/** Every method has a line here. */
export { awq } from './awq.ts';
export { awqClip as 'awq-clip' } from './awq-clip.ts';
export { balance } from './balance.ts';
export { flatquant } from './flatquant.ts';
export { gptq } from './gptq.ts';
export { learnedScales as 'learned-scales' } from './learned-scales.ts';
export { llmQat as 'llm-qat' } from './llm-qat.ts';
export { omniquant } from './omniquant.ts';
export { quip } from './quip.ts';
export { rtn } from './rtn.ts';
export { smoothquant } from './smoothquant.ts';
