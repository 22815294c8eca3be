/** A job that is killed at any moment goes on to the bits of one that was left alone. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { crash } from './campaign.ts';

const KILLS = 4;

test('SIGKILL at random moments of learning, rounding and evaluating changes no bit', {
  skip: process.platform === 'win32' && 'Windows has no SIGKILL',
}, async (t) => {
  const struck = await crash(KILLS, 3, (line) => t.diagnostic(line));
  assert.ok(struck >= KILLS);
});
