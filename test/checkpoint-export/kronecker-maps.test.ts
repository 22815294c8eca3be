/** Formats whose programs compute nothing in front of products refuse maps that are computed at run time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExportQuestion, expectPlace } from '../../src/engine/checkpoint-export/format.ts';
import { checkpointFormat } from '../../src/engine/checkpoint-export/index.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { CHECKPOINT_FORMAT_NAMES } from '../../src/protocol/export-formats.ts';
import { CHECKPOINT_DEFAULTS } from '../../src/protocol/export-plan.ts';
import { KRONECKER_MAPS } from '../helpers/kronecker.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

for (const name of CHECKPOINT_FORMAT_NAMES)
  test(`${name} refuses products of Kronecker, and says what takes them`, async () => {
    const format = await checkpointFormat(name);
    const rowsWith = (maps: ExportQuestion['maps']) =>
      format.rows({
        ...{ quantizers: FULL_PRECISION, config: TINY_CONFIG, maps, method: 'rtn', dense: false },
        settings: { ...CHECKPOINT_DEFAULTS, format: name },
      });
    const ofMaps = (maps: ExportQuestion['maps']) => rowsWith(maps).filter(({ part }) => part === 'maps');
    assert.deepEqual(ofMaps({}), []);
    assert.throws(
      () => expectPlace(ofMaps(KRONECKER_MAPS), name),
      (error) =>
        error instanceof UserError &&
        error.code === 'export/refused' &&
        error.message.includes('has no place for the maps') &&
        error.hint.includes('ONNX folder'),
    );
  });
