/** Writes the texts of the demo: node --import tsx scripts/demo/corpus.ts. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Rng } from '../../src/engine/rotation/random.ts';
import { pick } from './grammar.ts';
import { journey, marketSum, quarrel, recipe, weekDiary } from './stories-counting.ts';
import { lesson, letters, riddleContest, usefulGift } from './stories-people.ts';
import { exchange, hiddenThing, lostThing } from './stories-things.ts';
import { type Genre, World } from './world.ts';

const GENRES: readonly Genre[] = [
  lostThing,
  exchange,
  hiddenThing,
  usefulGift,
  lesson,
  riddleContest,
  letters,
  marketSum,
  recipe,
  journey,
  weekDiary,
  quarrel,
];

/** The three texts of the demo have separate streams, so that no two share a story. */
export const SPLITS = {
  train: { bytes: 6_000_000 },
  calibration: { bytes: 150_000 },
  test: { bytes: 40_000 },
} as const;

export type Split = keyof typeof SPLITS;

const SEED = 20_26;

/** Tells one story: title and paragraphs, a line each. */
export function tellStory(rng: Rng): string {
  const world = new World(rng);
  return pick(rng, GENRES)(world).join('\n');
}

/** Writes whole stories, with an empty line between them, until the size is reached. Every call gives the same text. */
export function generateCorpus(split: Split, bytes: number = SPLITS[split].bytes): string {
  const stream = new Rng(SEED).split(split);
  const stories: string[] = [];
  for (let size = 0, index = 0; size < bytes; index++) {
    const story = tellStory(stream.split(index));
    stories.push(story);
    size += story.length + 2;
  }
  return `${stories.join('\n\n')}\n`;
}

/** The demo model and its tokenizer learn from this text of about six megabytes. */
export function generateTrainingText(): string {
  return generateCorpus('train');
}

/** Writes the two texts of the example experiments. The training text is rebuilt in a second when it is needed. */
function main(): void {
  const folder = join(import.meta.dirname, '..', '..', 'examples', 'demo');
  mkdirSync(folder, { recursive: true });
  for (const split of ['calibration', 'test'] as const) {
    writeFileSync(join(folder, `${split}.txt`), generateCorpus(split));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
