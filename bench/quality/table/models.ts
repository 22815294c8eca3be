/** The models and texts of docs/quality.md. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { ExperimentInput } from '../../../src/config/schema.ts';
import { subjects } from '../subjects.ts';
import { rawForm } from './raw-form.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
export const WORK = join(ROOT, 'build', 'quality');

export interface Texts {
  readonly calibration: string;
  readonly test: string;
}

/** What the rows of a model have in common. */
export interface QualityModel {
  readonly name: string;
  readonly title: string;
  readonly shared: Pick<ExperimentInput, 'model' | 'calibration' | 'evaluation'>;
  /** Sequences that GPTQ looks at. */
  readonly gptqSamples: number;
  /** Folder of the data of zero-shot tasks; null where none are asked. */
  readonly tasks: string | null;
}

/** Models of a person's own: their titles, and how many windows of what length are measured, GPTQ's sequences. */
const LARGE = {
  smollm2: { title: 'SmolLM2-135M', sequenceLength: 2048, maxWindows: 12, gptqSamples: 32 },
  qwen: { title: 'Qwen2.5-Coder-0.5B', sequenceLength: 1024, maxWindows: 4, gptqSamples: 16 },
} as const;
const SMALL = ['demo', 'stories260K', 'stories3M'];

/**
 * @param asked names, each with `=FOLDER` for a model of a person's own.
 * @param texts to calibrate on and to measure on, for those.
 */
export async function qualityModels(
  asked: readonly string[],
  texts: Texts | null,
  tasks: string | null,
): Promise<QualityModel[]> {
  const found: QualityModel[] = [];
  for (const word of asked.length > 0 ? asked : SMALL) {
    const [name = '', folder] = word.split('=');
    if (SMALL.includes(name)) found.push(...(await small(name, tasks)));
    else if (name in LARGE && folder && texts)
      found.push(large(name as keyof typeof LARGE, folder, texts, tasks));
    else
      throw new Error(
        `${word}: give ${SMALL.join(', ')}, or smollm2=FOLDER, qwen=FOLDER with --calibration and --test`,
      );
  }
  return found;
}

async function small(name: string, tasks: string | null): Promise<QualityModel[]> {
  return (await subjects([name])).map(({ experiment }) => {
    const { calibration, evaluation } = experiment;
    return {
      name,
      title: name,
      shared: {
        model: experiment.model,
        calibration,
        evaluation: { perplexity: [...evaluation.perplexity] },
      },
      gptqSamples: 256,
      tasks: tasks && resolve(tasks),
    };
  });
}

function large(name: keyof typeof LARGE, folder: string, texts: Texts, tasks: string | null): QualityModel {
  const { title, sequenceLength, maxWindows, gptqSamples } = LARGE[name];
  // A test text in its tokenised form is measured as it is, and calibrated on in that form.
  const isTokenised = readFileSync(texts.test, 'utf8').includes(UNKNOWN_WORD);
  const form = isTokenised ? (text: string): string => text : rawForm;
  return {
    name,
    title,
    shared: {
      model: resolve(folder),
      calibration: { text: plain(name, texts.calibration, form), samples: 100, sequenceLength },
      evaluation: {
        perplexity: [{ name: 'wikitext2', text: plain(name, texts.test, form), sequenceLength, maxWindows }],
      },
    },
    gptqSamples,
    tasks: tasks && resolve(tasks),
  };
}

/** Stands for rare words in the tokenised form of WikiText-2. */
const UNKNOWN_WORD = '<unk>';

/** A copy of a text in the test text's form, with the line ends that other programs read. @returns its path. */
function plain(model: string, path: string, form: (text: string) => string): string {
  mkdirSync(WORK, { recursive: true });
  // Models of a person's own are measured at the same time, each on its form of a text.
  const copy = join(WORK, `${model}-${basename(path)}`);
  const text = readFileSync(path, 'utf8').replaceAll('\r\n', '\n');
  writeFileSync(copy, text.includes(UNKNOWN_WORD) ? form(text) : text);
  return copy;
}

/** Writes an experiment file into the working folder. @returns its path. */
export function written(name: string, experiment: ExperimentInput): string {
  mkdirSync(WORK, { recursive: true });
  const file = join(WORK, `${name}.spinquant.json`);
  const text = `${JSON.stringify(experiment, null, 2)}\n`;
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  return file;
}
