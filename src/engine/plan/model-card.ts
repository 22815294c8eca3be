/** The README of an exported checkpoint. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasLearnedRotation, ofChosen, type ResolvedExperiment, withPath } from '../../config/index.ts';
import type { ExportCheck, FolderCheck, TargetRow } from '../../protocol/export-plan.ts';
import { measuredPerplexity } from '../../protocol/perplexity.ts';
import type { ResultsFile } from '../../runs/index.ts';

export interface ModelCard {
  readonly title: string;
  readonly model: string;
  readonly bits: string;
  readonly settings: object;
  readonly rows: readonly TargetRow[];
  /** Of the folder itself; null where it was not measured. */
  readonly check: CheckTable | null;
  readonly usage: readonly string[];
  /** Of the base model; null where its folder does not tell. */
  readonly licence: string | null;
  readonly experiment: ResolvedExperiment;
  /** What the run measured; null for a model. */
  readonly results: ResultsFile | null;
  readonly productVersion: string;
}

/** Perplexities of a folder on so many tokens of a text, a row each. */
export interface CheckTable extends Pick<ExportCheck, 'text' | 'tokens'> {
  /** This measured, in words. */
  readonly by: string;
  readonly rows: readonly (readonly [what: string, perplexity: number])[];
}

/** Markdown. Names of files are the last part of their paths: a card goes to others. */
export function modelCard(card: ModelCard): string {
  const { title, model, bits, usage, licence, productVersion } = card;
  const name = lastPart(model);
  const lines = [
    '---',
    ...(licence === null ? [] : [`license: ${licence}`]),
    `base_model: ${name}`,
    '---',
    '',
    `# ${name}, ${bits}, ${title}`,
    '',
    `Quantized by SpinQuant Lab ${productVersion}. ${rotationInWords(card)}`,
    '',
    licence === null
      ? 'The licence is that of the base model, whose folder does not tell it.'
      : `The licence is that of the base model: ${licence}.`,
    '',
    '## How it is loaded',
    '',
    ...usage,
    '',
    '## What is in it',
    '',
    '| part | in the run | here | |',
    '|---|---|---|---|',
    ...card.rows.map(({ part, run, verdict, there }) => `| ${part} | ${run} | ${verdict} | ${there} |`),
    '',
    `Written with ${JSON.stringify(card.settings)}.`,
    ...(card.results === null ? [] : settingsOf(card.experiment)),
    ...measured(card),
  ];
  return `${lines.join('\n')}\n`;
}

function rotationInWords({ experiment }: ModelCard): string {
  const { r1, r2, r3, r4, seed } = experiment.rotation;
  const merged = `R1 is ${r1}, R2 ${r2}`;
  return `Rotations: ${merged}, R3 ${r3 ? 'on' : 'off'}, R4 ${r4 ? 'on' : 'off'}, seed ${seed}.`;
}

/** What decided the weights, without options of methods that were not chosen. Texts are named by their files. */
function settingsOf({
  calibration,
  quantization,
  rotation,
  scaling,
  training,
}: ResolvedExperiment): string[] {
  const { learning, start, ...maps } = rotation;
  const deciding = {
    calibration: { ...calibration, text: calibration.text.map((source) => withPath(source, lastPart)) },
    quantization: { ...quantization, weights: ofChosen(quantization.weights) },
    rotation: hasLearnedRotation(rotation) ? { ...maps, learning, start } : maps,
    ...{ scaling: ofChosen(scaling), training: ofChosen(training) },
  };
  return ['', '## Settings of the run', '', '```json', JSON.stringify(deciding, null, 2), '```'];
}

/** What the engine read back from a checkpoint. */
export function checkpointTable(check: ExportCheck | null, bits: string): CheckTable | null {
  if (check === null) return null;
  const { text, tokens, network, weights, readBack } = check;
  const rows = [
    [`the run's network, ${bits}`, network],
    ['the weights, with activations, keys and values as they are', weights],
    ['the same, read back from this folder', readBack],
  ] as const;
  return { text, tokens, by: 'the engine that wrote it', rows };
}

/** What ONNX Runtime read back from a folder. */
export function folderTable(check: FolderCheck | null, bits: string): CheckTable | null {
  if (check === null) return null;
  const { text, tokens, network, there, readBack, onnxRuntime } = check;
  const rows = [
    [`the run's network, ${bits}`, network],
    ['its weights with what these operators round', there],
    [`this folder in ONNX Runtime ${onnxRuntime}`, readBack],
  ] as const;
  return { text, tokens, by: 'the engine that wrote it and in ONNX Runtime', rows };
}

function measured({ bits, results, check }: ModelCard): string[] {
  const rows = (results?.perplexity ?? []).map((result) => {
    const of = (variant: 'fullPrecision' | 'quantized'): string =>
      inWords(measuredPerplexity(result[variant], result.meanLoss?.[variant] ?? null));
    return `| ${result.name} | ${of('fullPrecision')} | ${of('quantized')} | ${result.windows} |`;
  });
  const table = [
    '',
    '## Perplexity that the run measured',
    '',
    `| text | full precision | ${bits} | windows |`,
    '|---|--:|--:|--:|',
    ...rows,
  ];
  return [...(rows.length === 0 ? [] : table), ...(check === null ? [] : ofFolder(check))];
}

function ofFolder({ text, tokens, by, rows }: CheckTable): string[] {
  return [
    '',
    '## Perplexity of this folder',
    '',
    `On ${tokens} tokens of ${text}, in ${by}:`,
    '',
    '| | perplexity |',
    '|---|--:|',
    ...rows.map(([what, perplexity]) => `| ${what} | ${inWords(perplexity)} |`),
  ];
}

const inWords = (perplexity: number | null): string =>
  perplexity === null ? '–' : Number(perplexity.toPrecision(5)).toString();

const lastPart = (path: string): string => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;

/** The licence that the card of a model names, in its own words; null where it names none. */
export function licenceOf(model: string): string | null {
  const card = join(model, 'README.md');
  if (!existsSync(card)) return null;
  const [, front = ''] = /^---\r?\n([\s\S]*?)\r?\n---/.exec(readFileSync(card, 'utf8')) ?? [];
  return /^license:\s*([\w .-]+?)\s*$/m.exec(front)?.[1] ?? null;
}
