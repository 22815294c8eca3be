import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import { bitsPicture } from './bits.ts';
import { depthPicture } from './depth.ts';
import { paretoPicture } from './pareto.ts';
import { spreadPicture } from './spread.ts';
import type { PictureKind } from './view.ts';

export type PictureId = keyof MatrixStrings['titles'];

/** All pictures of a table in their order on the page. */
export const PICTURES: Readonly<Record<PictureId, PictureKind>> = {
  spread: spreadPicture,
  bits: bitsPicture,
  seconds: paretoPicture('seconds'),
  'mean-bits': paretoPicture('mean-bits'),
  kurtosis: depthPicture('kurtosis'),
  error: depthPicture('error'),
  'weight-kurtosis': depthPicture('weight-kurtosis'),
  'weight-error': depthPicture('weight-error'),
  'output-error': depthPicture('output-error'),
};
