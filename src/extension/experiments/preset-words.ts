import * as vscode from 'vscode';
import type { PresetName } from './presets.ts';
import type { TableName } from './table-presets.ts';

/** What an experiment can start from. */
export function kindWords(kind: PresetName | 'table'): vscode.QuickPickItem {
  const { t } = vscode.l10n;
  switch (kind) {
    case 'faithful':
      return {
        label: t('Faithful W4A4KV4'),
        detail: t(
          'As the paper: R1, R2 learned with 16-bit weights in 100 steps of 8 × 2048 tokens, R3, R4 online Hadamard; weights rounded by GPTQ. Hours on a CPU.',
        ),
      };
    case 'no-had':
      return {
        label: t('No Hadamard W4A8'),
        detail: t(
          'The paper\'s "no had": R1, R2 learned and merged, nothing online, so that it runs anywhere; weights rounded by GPTQ.',
        ),
      };
    case 'quick':
      return {
        label: t('Quick look W4A4KV4'),
        detail: t(
          'R1, R2 learned from captured activations in seconds, weights rounded by GPTQ, 8 windows measured: minutes for a small model, to see that everything works.',
        ),
      };
    case 'best':
      return {
        label: t('Best W4A4KV4'),
        detail: t(
          'The least perplexity of all that runs as fast: R1, R2 learned from captured activations, channels in front of R4 balanced, clip ratios searched, keys without their mean, weights rounded for the outputs of quantized layers. Minutes to an hour on a CPU.',
        ),
      };
    case 'vllm-w4a4':
      return {
        label: t('vLLM W4A4'),
        detail: t(
          'For vLLM: symmetric activations with the steps of compressed-tensors, R4 in blocks of a power of two, keys and values at 16 bits; R1, R2 learned from captured activations, weights rounded by GPTQ.',
        ),
      };
    case 'table':
      return {
        label: t('A table of methods and bits'),
        detail: t(
          'Methods side by side at several settings of bits, filled cell by cell: a quick look, or a table of the paper.',
        ),
      };
  }
}

export function tableWords(table: TableName): vscode.QuickPickItem {
  const { t } = vscode.l10n;
  switch (table) {
    case 'quick':
      return {
        label: t('Quick look'),
        detail: t(
          'RTN, GPTQ, QuaRot and rotations learned from captured activations, at 4-8-16 and 4-4-4, 8 windows measured: minutes for a small model.',
        ),
      };
    case 'table1':
      return {
        label: t('Table 1'),
        detail: t(
          'Every method, from RTN to SpinQuant, at five settings of bits, with the sizes of the paper. Days on a CPU.',
        ),
      };
    case 'table2':
      return {
        label: t('Table 2'),
        detail: t('Learned rotations against random Hadamard ones, with and without R3 and R4.'),
      };
    case 'table4':
      return { label: t('Table 4'), detail: t('Where learning starts: random or Hadamard, three seeds.') };
    case 'table5':
      return { label: t('Table 5'), detail: t('QuaRot and SpinQuant, each with RTN and with GPTQ.') };
    case 'ablation':
      return { label: t('Ablation'), detail: t('R1 to R4, one after the other, three seeds.') };
    case 'figure3':
      return {
        label: t('Figure 3'),
        detail: t('Kurtosis and error over depth, before and after learned rotations.'),
      };
    case 'figure4':
      return {
        label: t('Figure 4'),
        detail: t('The spread over random, Hadamard and learned rotations, 20 seeds.'),
      };
  }
}
