import type { Breath } from '../../runtime/breath.ts';

/** Values between two looks at the signal. */
const AT_ONCE = 1 << 16;

/**
 * The proximal map of a ‖·‖_∞ for each run of values, in place: values are clipped to ±θ with Σ max(|v| − θ, 0) = mass, and
 * are 0 where their magnitudes sum to less. This is v − a · (v / a projected onto the ball Σ |·| ≤ 1).
 */
export async function clipToMass(
  values: Float32Array,
  run: number,
  mass: number,
  breath: Breath,
): Promise<void> {
  let before = 0;
  for (let start = 0; start < values.length; start += run) {
    const part = values.subarray(start, start + run);
    const bound = boundOf(part, mass);
    for (let i = 0; i < part.length; i++) part[i] = Math.min(Math.max(part[i]!, -bound), bound);
    before += run;
    if (before < AT_ONCE) continue;
    before = 0;
    await breath.draw();
  }
}

/**
 * θ by Newton's method. Σ max(|v| − θ, 0) is convex and falls, so that steps from below never pass the solution, and each
 * but the last leaves out a value that is below it.
 */
function boundOf(values: Float32Array, mass: number): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  for (let bound = Math.max(0, largest - mass); ; ) {
    let [sum, count] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const size = Math.abs(values[i]!);
      if (size <= bound) continue;
      sum += size;
      count++;
    }
    const next = count > 0 ? (sum - mass) / count : bound;
    // Rounding may take a step back where the solution is reached.
    if (!(next > bound)) return bound;
    bound = next;
  }
}
