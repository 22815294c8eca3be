/** Inputs that begin others need no sequence of their own: a position sees only what stands before it. */

/** Where an input is computed: in the sequence `host`, of which it is the beginning. */
export interface SharedInputs {
  /** The inputs to compute, ordered by their ids from the last to the first: neighbours begin most alike. */
  readonly sequences: readonly Int32Array[];
  /** For each input the place of its sequence. */
  readonly hosts: readonly number[];
}

/**
 * Equal inputs become one, and one that begins another is computed with it. So a question whose choices are single tokens
 * needs one sequence. In the order of the ids, whatever begins with an input stands right behind it.
 */
export function shareInputs(inputs: readonly Int32Array[]): SharedInputs {
  const order = inputs.map((_, i) => i).sort((a, b) => compare(inputs[a]!, inputs[b]!) || a - b);
  const sequences: Int32Array[] = [];
  const hosts: number[] = inputs.map(() => -1);
  for (let at = order.length - 1; at >= 0; at--) {
    const own = order[at]!;
    const next = order[at + 1];
    if (next !== undefined && begins(inputs[own]!, inputs[next]!)) hosts[own] = hosts[next]!;
    else hosts[own] = sequences.push(inputs[own]!) - 1;
  }
  return { sequences, hosts };
}

function compare(a: Int32Array, b: Int32Array): number {
  const common = commonLength(a, b);
  return common < Math.min(a.length, b.length) ? a[common]! - b[common]! : a.length - b.length;
}

/** Ids that both begin with. */
export function commonLength(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let common = 0;
  while (common < most && a[common] === b[common]) common++;
  return common;
}

function begins(head: Int32Array, whole: Int32Array): boolean {
  return head.length <= whole.length && head.every((id, i) => id === whole[i]);
}
