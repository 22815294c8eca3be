/** The work of each method, found by the name of its descriptor: `engine/methods/<name>.ts` exports `method`. */
import type { MethodKind } from '../../config/index.ts';
import type { Method } from './method.ts';

export type {
  GridNetworks,
  Method,
  MethodTask,
  RoundingMethod,
  RoundingWork,
  ScalingMethod,
  ScalingWork,
  TrainingMethod,
} from './method.ts';

/**
 * Loads a method when it is needed.
 * @param name of a descriptor in `config/methods`.
 * @throws Error when its file has no method of this kind: a mistake of ours, which a test finds first.
 */
export async function loadMethod<Kind extends MethodKind>(
  name: string,
  kind: Kind,
): Promise<Extract<Method, { readonly kind: Kind }>> {
  const module: unknown = await import(`./${name}.ts`);
  const method = (module as { readonly method?: Method }).method;
  if (method?.kind === kind) return method as Extract<Method, { readonly kind: Kind }>;
  throw new Error(`engine/methods/${name}.ts exports no ${kind} method`);
}
