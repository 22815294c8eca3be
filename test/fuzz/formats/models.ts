/** The configuration and the index of a model folder, and its texts. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readCalibration } from '../../../src/engine/calibration/text.ts';
import { checkExperimentText, describeModel } from '../../../src/engine/index.ts';
import { openTokenizer } from '../../../src/engine/model/tokenizer.ts';
import { CONFIGS, SIZES } from '../fixtures/model.ts';
import { TEXT } from '../fixtures/workspace.ts';
import { mutateJson } from '../mutations/json.ts';
import { mutateText } from '../mutations/text.ts';
import { expectFinite, expectSane, type Format, jsonBytes } from './format.ts';

const config: Format = {
  name: 'config',
  async open({ model, experiment }) {
    const path = join(model, 'config.json');
    const text = readFileSync(experiment, 'utf8');
    return {
      originals: CONFIGS.map(jsonBytes),
      mutate: mutateJson,
      async read(input) {
        writeFileSync(path, input);
        // An editor shows what it can: it never throws.
        await checkExperimentText({ text, file: experiment });
        const description = await describeModel(model);
        const { layers, hiddenSize, headDim, vocabSize, ...rest } = description.config;
        expectSane(layers >= 0 && layers <= SIZES.layers, `${layers} layers`);
        expectSane(hiddenSize === SIZES.hidden && headDim > 0, `hidden ${hiddenSize}, heads of ${headDim}`);
        expectSane(vocabSize === SIZES.vocab, `a vocabulary of ${vocabSize}`);
        expectFinite([rest.rmsNormEps, rest.ropeTheta, rest.maxPositions], 'the configuration');
        expectSane(rest.layerWindows.length === layers, 'windows of other layers');
      },
    };
  },
};

const index: Format = {
  name: 'index',
  async open({ sharded }) {
    const path = join(sharded, 'model.safetensors.index.json');
    return {
      originals: [readFileSync(path)],
      mutate: mutateJson,
      async read(input) {
        writeFileSync(path, input);
        const { parameters } = await describeModel(sharded);
        expectSane(parameters > 0, 'no parameters');
      },
    };
  },
};

const text: Format = {
  name: 'text',
  async open({ dir, model }) {
    const path = join(dir, 'train.txt');
    const tokenizer = openTokenizer(model, SIZES.vocab);
    const options = { texts: [path], samples: 4, sequenceLength: 8, bos: true };
    return {
      originals: [Buffer.from(TEXT), Buffer.from(TEXT.replaceAll('\n', '\r\n\r\n'))],
      mutate: mutateText,
      async read(input) {
        rmSync(path, { force: true });
        writeFileSync(path, input);
        for (const block of await readCalibration(tokenizer, options)) {
          expectSane(block.length === 8 && block[0] === 1, 'a block of another length, or without its start');
          expectSane(
            block.every((id) => id >= 0 && id < SIZES.vocab),
            'an id without a row',
          );
        }
      },
    };
  },
};

export const MODEL_FORMATS: readonly Format[] = [config, index, text];
