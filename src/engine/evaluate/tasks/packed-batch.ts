/** The beginnings that sequences of a batch share, as rows of the residual that are computed once. */
import { int64 } from '../../../protocol/tensor.ts';
import type { RowSharing } from '../../network/layer-shape.ts';
import type { Part } from '../through-layers.ts';
import { type Batch, roundedLength } from './batches.ts';
import { commonLength } from './shared-inputs.ts';

export interface PackedBatch extends Required<Part> {
  readonly batch: Batch;
}

/**
 * Gives tokens behind equal beginnings one row of the residual. Neither what fills up a sequence nor what fills up the
 * batch has rows of its own; a few rows fill up their number, so that there are few shapes.
 * @param sequences in the order of their ids: of two that begin alike, those between them do too.
 */
export function packBatch(batch: Batch, sequences: readonly Int32Array[]): PackedBatch {
  const { members, rows: sequenceRows, length } = batch;
  const rowOfToken = new BigInt64Array(sequenceRows * length);
  const ids: number[] = [];
  const tokens: bigint[] = [];
  const places = [...members.keys()].sort((a, b) => members[a]! - members[b]!);
  for (const [i, place] of places.entries()) {
    const own = sequences[members[place]!]!;
    const before = places[i - 1];
    const shared = before === undefined ? 0 : commonLength(own, sequences[members[before]!]!);
    const [start, other] = [place * length, (before ?? 0) * length];
    rowOfToken.set(rowOfToken.subarray(other, other + shared), start);
    for (let at = shared; at < own.length; at++) {
      rowOfToken[start + at] = BigInt(ids.length);
      ids.push(own[at]!);
      tokens.push(BigInt(start + at));
    }
  }
  const rows = Math.min(roundedLength(ids.length), rowOfToken.length);
  const tokenOfRow = new BigInt64Array(rows);
  tokenOfRow.set(tokens);
  const padded = new Int32Array(rows);
  padded.set(ids);
  const sharing: RowSharing = {
    rowOfToken: int64([rowOfToken.length], rowOfToken),
    tokenOfRow: int64([rows], tokenOfRow),
  };
  return { batch, ids: padded, shape: { batch: sequenceRows, sequence: length, rows }, sharing };
}
