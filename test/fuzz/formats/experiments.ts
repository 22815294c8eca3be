import { writeFileSync } from 'node:fs';
import { checkExperiment } from '../../../src/config/index.ts';
import { checkExperimentText, describePlan, loadExperiment } from '../../../src/engine/index.ts';
import { fixesOf } from '../../../src/extension/experiments/fixes.ts';
import { EXPERIMENT, fullExperiment } from '../fixtures/run.ts';
import { mutateJson } from '../mutations/json.ts';
import { expectSane, type Format, jsonBytes } from './format.ts';

const PURPOSES = ['optimize', 'evaluate', 'inspect'] as const;

/** As an editor, which must never throw, and as the command line. */
const experiment: Format = {
  name: 'experiment',
  async open({ experiment: path }) {
    return {
      originals: [jsonBytes(EXPERIMENT), jsonBytes(fullExperiment())],
      mutate: mutateJson,
      async read(input) {
        const text = input.toString('utf8');
        const { faults } = await checkExperiment(text, path);
        for (const fault of [...faults, ...(await checkExperimentText({ text, file: path })).faults]) {
          const { offset, length, line, column } = fault.range;
          expectSane(offset >= 0 && length >= 0 && offset + length <= text.length, `a fault at ${offset}`);
          expectSane(line >= 1 && column >= 1, `a fault at ${line}:${column}`);
          expectSane(fault.message !== '', `a fault ${fault.code} without words`);
          fixesOf(fault, text);
        }
        writeFileSync(path, input);
        for (const purpose of PURPOSES) await describePlan(await loadExperiment(path, purpose), purpose);
      },
    };
  },
};

export const EXPERIMENT_FORMATS: readonly Format[] = [experiment];
