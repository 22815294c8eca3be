/** What tables of exports say of a run's activations, keys and values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExperimentInput, experimentSchema, hasSiteClips } from '../../src/config/index.ts';
import { packedRows } from '../../src/engine/checkpoint-export/compressed-rows.ts';
import { executorchRows } from '../../src/engine/checkpoint-export/executorch-rows.ts';
import type { ExportQuestion } from '../../src/engine/checkpoint-export/format.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';
import { settingsOf } from './written.ts';

const config = { ...TINY_CONFIG, qkNorm: false };

function question(quantization: NonNullable<ExperimentInput['quantization']>): ExportQuestion {
  // The input of o has a scale for each token, too, where heads are mixed.
  const asked = experimentSchema.parse({ model: 'm', quantization, rotation: { acrossHeads: true } });
  const { activations, keys, values } = asked.quantization;
  return {
    ...quantizersOf(asked.quantization, asked.rotation, config),
    ...{ config, maps: NO_MAPS, method: 'rtn', dense: false, settings: settingsOf('compressed-tensors') },
    siteClips: {
      activations: hasSiteClips(activations),
      keys: hasSiteClips(keys),
      values: hasSiteClips(values),
    },
  };
}

const SERVED = { bits: 8, symmetric: true, fullRange: true } as const;

const rowOf = (rows: ReturnType<typeof packedRows>, part: string) => rows.find((row) => row.part === part);

test('ranges that a search clips are not those of the program', () => {
  const of = (clipRatio: 1 | 0.9 | 'searched') =>
    rowOf(packedRows(question({ activations: { ...SERVED, clipRatio } })), 'activations');
  assert.equal(of(1)?.verdict, 'kept');
  for (const ratio of [0.9, 'searched'] as const) {
    assert.equal(of(ratio)?.verdict, 'changed');
    assert.match(of(ratio)!.there, /ranges are not clipped/);
  }
  assert.match(of('searched')!.run, /a clip ratio for each site$/);
  const runtime = { bits: 8, symmetric: false } as const;
  const there = (clipRatio: 1 | 'searched') =>
    rowOf(executorchRows(question({ activations: { ...runtime, clipRatio } })), 'activations')?.verdict;
  assert.deepEqual([there(1), there('searched')], ['kept', 'changed']);
});

test('the cache of a run: what keys are without, first tokens, clip ratios and exceptions', () => {
  const of = (quantization: Parameters<typeof question>[0]) =>
    rowOf(packedRows(question(quantization)), 'keys, values')?.run;
  assert.equal(of({ keys: { offset: 'none' } }), '4 and 4 bits');
  assert.equal(of({}), '4 and 4 bits, keys without their bias');
  assert.equal(
    of({
      keys: { offset: 'mean', clipRatio: 'searched', firstTokens: 1 },
      exceptions: [{ layers: [0], values: { bits: 8 } }],
    }),
    '4 and 4 bits, keys without their mean, a clip ratio for each layer, first tokens at 16 bits, with exceptions',
  );
});
