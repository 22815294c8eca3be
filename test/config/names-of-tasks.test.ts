/** What people write for a task or a setting of bits leads to what is meant. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parse } from 'jsonc-parser';
import { parseExperiment } from '../../src/config/index.ts';
import { fixesOf } from '../../src/extension/experiments/fixes.ts';

const textOf = (more: object): string => JSON.stringify({ model: 'm', calibration: { text: 'c' }, ...more });

const withTask = (task: string): string => textOf({ evaluation: { tasks: [{ task, data: 'd' }] } });

function faultOf(text: string) {
  const [fault, ...others] = parseExperiment(text, 'x.spinquant.json').faults;
  assert.ok(fault);
  assert.deepEqual(others, []);
  return fault;
}

for (const [written, meant] of [
  ...[
    ['siqa', 'social_iqa'],
    ['SIQA', 'social_iqa'],
    ['social_i_qa', 'social_iqa'],
  ],
  ...[
    ['arc-e', 'arc_easy'],
    ['arc-c', 'arc_challenge'],
    ['ARC-Challenge', 'arc_challenge'],
  ],
  ...[
    ['hella_swag', 'hellaswag'],
    ['HellaSwag', 'hellaswag'],
    ['helaswag', 'hellaswag'],
  ],
  ...[
    ['obqa', 'openbookqa'],
    ['BoolQ', 'boolq'],
    ['winogrand', 'winogrande'],
  ],
] as const)
  test(`"${written}" is meant to be ${meant}`, () => {
    const text = withTask(written);
    const fault = faultOf(text);
    assert.ok(fault.message.endsWith(`Did you mean "${meant}"?`), fault.message);
    const [first] = fixesOf(fault, text);
    assert.equal(first?.kind, 'set');
    assert.equal((parse(first!.text) as ReturnType<typeof JSON.parse>).evaluation.tasks[0].task, meant);
  });

test('a task of others is not taken for one of these', () => {
  assert.doesNotMatch(faultOf(withTask('lambada')).message, /Did you mean/);
});

test('a number in the place of a setting of bits is answered with an example', () => {
  const text = textOf({ matrix: { bits: [4], methods: ['rtn'] } });
  assert.match(faultOf(text).message, /^matrix\.bits\[0\] is 4; allowed: .*, such as "4-8-16"\.$/);
});
