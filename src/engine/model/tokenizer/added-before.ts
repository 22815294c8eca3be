import type { PostProcessor } from './components.ts';

/** True where a post-processor puts a special token before every text: the beginning of a sequence. */
export function tokenBefore(processor: PostProcessor | null): boolean {
  switch (processor?.type) {
    case 'TemplateProcessing':
      return processor.single[0] !== undefined && 'SpecialToken' in processor.single[0];
    case 'BertProcessing':
    case 'RobertaProcessing':
      return true;
    case 'Sequence':
      return processor.processors.some(tokenBefore);
    default:
      return false;
  }
}
