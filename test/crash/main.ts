/** `npm run crash -- --kills 40 --seed 1 [--matrix FILE]`: kills jobs at random moments, by hand. */
import { parseArgs } from 'node:util';
import { crash } from './campaign.ts';
import { crashMatrix } from './matrix.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    matrix: { type: 'string' },
  },
});
const [kills, seed] = [Number(values.kills), Number(values.seed)];
const struck = values.matrix
  ? (await crashMatrix(values.matrix, kills, seed, console.log)).kills
  : await crash(kills, seed, console.log);
console.log(`${struck} kills: the same bits after each.`);
