/** The rules of sampling against plain loops in float64, and against what transformers makes of the same logits. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  candidates,
  chooseToken,
  logProbability,
  MOST_LIKELY,
  type TokenChoice,
} from '../../src/engine/generate/token-choice.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { noise } from '../helpers/tiny-network.ts';

const DRAWN: TokenChoice = { ...MOST_LIKELY, temperature: 1 };

function softmax(scores: readonly number[]): number[] {
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** One rule after the other, each on all tokens: a token that is out has a score of −∞. */
function reference(logits: Float32Array, before: ReadonlySet<number>, choice: TokenChoice): number[] {
  const { repetitionPenalty: penalty, temperature, topK, topP, minP } = choice;
  let scores = [...logits].map((score, id) => {
    if (!before.has(id)) return score;
    return score < 0 ? score * penalty : score / penalty;
  });
  scores = scores.map((score) => score / temperature);
  const out = (isOut: (id: number) => boolean) => {
    scores = scores.map((score, id) => (isOut(id) ? Number.NEGATIVE_INFINITY : score));
  };
  const sorted = scores.toSorted((a, b) => b - a);
  if (topK > 0 && topK < scores.length) out((id) => scores[id]! < sorted[topK - 1]!);
  if (topP < 1) {
    const shares = softmax(scores);
    const order = scores.map((_, id) => id).sort((a, b) => scores[b]! - scores[a]! || a - b);
    let mass = 0;
    const kept = new Set<number>();
    for (const id of order) {
      if (kept.size > 0 && mass >= topP) break;
      kept.add(id);
      mass += shares[id]!;
    }
    out((id) => !kept.has(id));
  }
  const shares = softmax(scores);
  const most = Math.max(...shares);
  out((id) => shares[id]! < minP * most);
  return softmax(scores);
}

/** Probabilities [V] of the tokens that are left. */
function found(logits: Float32Array, before: ReadonlySet<number>, choice: TokenChoice): number[] {
  const { ids, weights } = candidates(logits, before, choice);
  const sum = weights.reduce((a, b) => a + b, 0);
  const all = new Array<number>(logits.length).fill(0);
  for (const [place, id] of ids.entries()) all[id] = weights[place]! / sum;
  return all;
}

function assertClose(a: readonly number[], b: readonly number[], bound: number, what: string): void {
  assert.equal(a.length, b.length);
  for (const [i, x] of a.entries()) assert.ok(Math.abs(x - b[i]!) <= bound, `${what}: ${i}: ${x}, ${b[i]}`);
  const kept = (all: readonly number[]) => all.flatMap((x, id) => (x > 0 ? [id] : []));
  assert.deepEqual(kept(a), kept(b), what);
}

const random = noise(11);
const share = () => (random() + 1) / 2;

test('every rule, alone and with the others, is what plain loops give', () => {
  for (let turn = 0; turn < 300; turn++) {
    const size = 3 + Math.floor(share() * 40);
    // Rounded ones have equals among them.
    const step = turn % 3 === 0 ? 0.5 : 1e-3;
    const logits = Float32Array.from({ length: size }, () => Math.round((random() * 6) / step) * step);
    const before = new Set(Array.from({ length: 5 }, () => Math.floor(share() * size)));
    const on = () => share() < 0.5;
    const choice: TokenChoice = {
      repetitionPenalty: on() ? 0.5 + 1.5 * share() : 1,
      temperature: 0.2 + 2 * share(),
      topK: on() ? 1 + Math.floor(share() * 1.2 * size) : 0,
      topP: on() ? 0.05 + 0.95 * share() : 1,
      minP: on() ? share() : 0,
    };
    // Sums of up to 42 numbers in other orders: 42 times the precision of float64, and the rounding of exponentials.
    const bound = 100 * Number.EPSILON;
    const what = `${turn} ${JSON.stringify(choice)}`;
    assertClose(found(logits, before, choice), reference(logits, before, choice), bound, what);
  }
});

test('transformers makes the same probabilities', () => {
  const path = join(import.meta.dirname, '..', 'fixtures', 'sampling.json');
  const cases = JSON.parse(readFileSync(path, 'utf8')) as readonly {
    readonly rules: Readonly<Record<string, number>>;
    readonly before: readonly number[];
    readonly logits: readonly number[];
    readonly probabilities: readonly number[];
  }[];
  assert.ok(cases.length > 10);
  for (const { rules, before, logits, probabilities } of cases) {
    const choice: TokenChoice = {
      repetitionPenalty: rules.repetition_penalty ?? 1,
      temperature: rules.temperature ?? 1,
      topK: rules.top_k ?? 0,
      topP: rules.top_p ?? 1,
      minP: rules.min_p ?? 0,
    };
    // The fixture has ten digits.
    const numbers = found(Float32Array.from(logits), new Set(before), choice);
    assertClose(numbers, probabilities, 1e-10, JSON.stringify(rules));
  }
});

test('tokens are drawn as often as they are probable, and the same ones by the same seed', () => {
  const logits = Float32Array.of(1, 0.5, -1, 2, 0.25, -3);
  const choice = { ...DRAWN, topK: 4 };
  const draws = 20_000;
  const drawn = (seed: number) => {
    const rng = new Rng(seed);
    return Array.from({ length: draws }, () => chooseToken(logits, new Set(), choice, rng));
  };
  const ids = drawn(1);
  assert.deepEqual(drawn(1), ids);
  assert.notDeepEqual(drawn(2), ids);
  for (const [id, expected] of reference(logits, new Set(), choice).entries()) {
    const counted = ids.filter((it) => it === id).length;
    // Five standard deviations of a binomial: one run in a million is further off, and the seed is fixed.
    assert.ok(Math.abs(counted - draws * expected) <= 5 * Math.sqrt(draws * expected * (1 - expected)));
  }
});

test('without temperature the most likely token is taken, behind the penalty, the lower id of two', () => {
  const rng = new Rng(0);
  const before = rng.state;
  const logits = Float32Array.of(1, 3, 2.5, 3, -1);
  assert.equal(chooseToken(logits, new Set([0]), MOST_LIKELY, rng), 1);
  const penalty = { ...MOST_LIKELY, repetitionPenalty: 1.5 };
  assert.equal(chooseToken(logits, new Set([1, 3]), penalty, rng), 2);
  assert.equal(chooseToken(Float32Array.of(-1, -1.2), new Set([0]), penalty, rng), 1);
  assert.deepEqual(rng.state, before, 'nothing was drawn');
});

test('the log-probability of a token is that of softmax', () => {
  const logits = Float32Array.from({ length: 50 }, () => random() * 9);
  for (const [id, probability] of softmax([...logits]).entries())
    assert.ok(Math.abs(logProbability(logits, id) - Math.log(probability)) < 1e-13);
  assert.ok(Number.isFinite(logProbability(Float32Array.of(1e30, -1e30), 1)));
});
