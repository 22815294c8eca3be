import assert from 'node:assert/strict';
import test from 'node:test';
import { type CurveShape, curve } from '../../scripts/fixtures/curves.mts';
import { stepColumns } from '../../src/extension/panels/training/history.ts';
import { judgeTraining, STEPS_NEEDED } from '../../src/extension/panels/training/verdict.ts';
import { verdictText } from '../../src/extension/panels/training/verdict-text.ts';
import type { StepColumns } from '../../src/protocol/panels/training.ts';
import { trainingStrings } from '../../src/protocol/panels/training-strings.ts';

const SEEDS = 40;

function columns(shape: CurveShape, steps: number, seed: number): StepColumns {
  const startedAt = new Date(0);
  return stepColumns(curve({ shape, seed, steps, of: 100, startedAt, secondsPerStep: 1 }), 10);
}

/** Counts how often each kind is said over many seeds. */
function kinds(shape: CurveShape, steps: number): Record<string, number> {
  const found: Record<string, number> = {};
  for (let seed = 0; seed < SEEDS; seed++) {
    const { kind } = judgeTraining(columns(shape, steps, 100 + seed));
    found[kind] = (found[kind] ?? 0) + 1;
  }
  return found;
}

/** A comparison of two means at three standard errors fails by luck about once in 370; the noise is estimated too. */
const MOST = Math.ceil(0.9 * SEEDS);

test('curves of each shape get their verdict whatever the noise', () => {
  const cases: readonly [CurveShape, number, string][] = [
    ['converging', 20, 'converging'],
    ['converging', 41, 'converging'],
    ['converging', 70, 'converging'],
    ['stalled', 20, 'stalled'],
    ['stalled', 100, 'stalled'],
    ['diverging', 20, 'converging'],
    ['diverging', 70, 'diverging'],
    ['diverging', 100, 'diverging'],
    ['not-a-number', 36, 'converging'],
    ['not-a-number', 37, 'diverging'],
    ['not-a-number', 60, 'diverging'],
  ];
  for (const [shape, steps, expected] of cases) {
    const found = kinds(shape, steps);
    assert.ok((found[expected] ?? 0) >= MOST, `${shape} after ${steps} steps: ${JSON.stringify(found)}`);
  }
});

test('at the end of the schedule a curve that fell and is level has settled', () => {
  const found = kinds('converging', 100);
  assert.ok((found.settled ?? 0) + (found.converging ?? 0) === SEEDS, JSON.stringify(found));
  assert.ok((found.settled ?? 0) >= MOST, JSON.stringify(found));
});

test('few steps say nothing; none too', () => {
  assert.deepEqual(judgeTraining(columns('converging', 0, 1)).reason, { code: 'no-steps' });
  const { kind, reason } = judgeTraining(columns('converging', STEPS_NEEDED - 1, 1));
  assert.equal(kind, 'too-early');
  assert.deepEqual(reason, { code: 'few-steps', steps: STEPS_NEEDED - 1, needed: STEPS_NEEDED });
});

test('a run stalls for a reason: its cap, rotations that stay, or noise', () => {
  const capped = judgeTraining(columns('stalled', 30, 3)).reason;
  assert.equal(capped.code, 'flat-capped');
  const steps = columns('stalled', 30, 3);
  const free = { ...steps, stepCapR1: steps.stepCapR1.map(() => 5), stepCapR2: steps.stepCapR2.map(() => 9) };
  assert.equal(judgeTraining(free).reason.code, 'flat-still');
  assert.equal(judgeTraining({ ...free, distanceR1: free.distanceR1.map(() => 0.1) }).reason.code, 'flat');
});

test('noise that would hide a gain leaves the question open, unless there is a reason', () => {
  const steps = columns('stalled', 30, 3);
  const noisy = {
    ...steps,
    loss: steps.loss.map((value, index) => value! + (index % 2 === 0 ? 0.3 : -0.3)),
    stepCapR1: steps.stepCapR1.map(() => 5),
    distanceR1: steps.distanceR1.map(() => 0.1),
  };
  const { kind, reason } = judgeTraining(noisy);
  assert.equal(kind, 'unclear');
  assert.ok(reason.code === 'noisy' && reason.visiblePercent > 3, JSON.stringify(reason));
  assert.equal(judgeTraining({ ...noisy, distanceR1: steps.distanceR1 }).kind, 'stalled');
});

test('a matrix that is no rotation any more outweighs a falling loss', () => {
  const steps = columns('converging', 30, 3);
  const error = steps.orthogonalityError.map((value, index) => (index === 20 ? 0.02 : value));
  const { kind, reason } = judgeTraining({ ...steps, orthogonalityError: error });
  assert.equal(kind, 'diverging');
  assert.deepEqual(reason, { code: 'off-manifold', error: 0.02 });
  assert.equal(judgeTraining({ ...steps, orthogonalityError: error.map(() => null) }).kind, 'diverging');
});

test('the reason names the step of the gap and the size of the fall', () => {
  const strings = trainingStrings((text) => text);
  const broken = verdictText(judgeTraining(columns('not-a-number', 60, 1)), strings);
  assert.match(broken.reason, /not a number since step 37/);
  const falling = verdictText(judgeTraining(columns('converging', 41, 7)), strings);
  assert.equal(falling.word, 'converging');
  // The curve falls from 2.89 towards 2.52 with time constant 100/6 steps: −11 % of the start after 41 steps.
  assert.match(falling.reason, /^loss −1[0-3] % in 41 steps$/);
});
