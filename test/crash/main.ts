/** `npm run crash -- --kills 40 --seed 1`: kills jobs at random moments, by hand. */
import { parseArgs } from 'node:util';
import { crash } from './campaign.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '40' }, seed: { type: 'string', default: '1' } },
});
const struck = await crash(Number(values.kills), Number(values.seed), console.log);
console.log(`${struck} kills: the same bits after each.`);
