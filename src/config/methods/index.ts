/** The methods that an experiment can name, by kind, and what its schema says of them. */
import { z } from 'zod';
import type { MethodDescriptor, MethodKind } from './descriptor.ts';
import * as registry from './registry.ts';

export type { MethodDescriptor, MethodKind } from './descriptor.ts';

type Registered = (typeof registry)[keyof typeof registry];
type OfKind<Kind extends MethodKind> = Extract<Registered, { readonly kind: Kind }>;
export type MethodName<Kind extends MethodKind = MethodKind> = OfKind<Kind>['name'];

/** The options of a method, all with their values. */
export type MethodOptions<Name extends MethodName> = Extract<
  Registered,
  { readonly name: Name }
>['options'] extends infer Schema extends z.ZodType
  ? z.output<Schema>
  : null;

/** Options by the name of the method that has them. */
type OptionsShape<Kind extends MethodKind> = {
  [M in OfKind<Kind> as M['options'] extends z.ZodType ? M['name'] : never]: M['options'];
};

/** All methods, in the order of their publication. */
export const METHODS: readonly MethodDescriptor[] = Object.values(registry).sort((a, b) =>
  publication(a) < publication(b) ? -1 : 1,
);

function publication({ paper, name }: MethodDescriptor): string {
  return `${paper?.arxiv ?? ''} ${name}`;
}

export function methodsOf(kind: MethodKind): readonly MethodDescriptor[] {
  return METHODS.filter((method) => method.kind === kind);
}

/** @throws Error for a name that no experiment can hold. */
export function methodNamed(name: string): MethodDescriptor {
  const found = METHODS.find((method) => method.name === name);
  if (found) return found;
  throw new Error(`there is no method ${name}`);
}

/** As tables print it; a name that this version does not know, from a run of another, as it is. */
export function methodTitle(name: string): string {
  return METHODS.find((method) => method.name === name)?.title ?? name;
}

/** @param others names that stand for no method. */
export function nameSchema<Kind extends MethodKind, Other extends string = never>(
  kind: Kind,
  ...others: readonly Other[]
): z.ZodEnum<{ [N in MethodName<Kind> | Other]: N }> {
  const names = [...others, ...methodsOf(kind).map(({ name }) => name)];
  return z.enum(names) as unknown as z.ZodEnum<{ [N in MethodName<Kind> | Other]: N }>;
}

/** The options of every method of a kind, by its name. */
export function optionsShape<Kind extends MethodKind>(kind: Kind): OptionsShape<Kind> {
  const entries = methodsOf(kind).flatMap(({ name, options }) => (options ? [[name, options] as const] : []));
  return Object.fromEntries(entries) as unknown as OptionsShape<Kind>;
}

/** `rtn rounds each …, gptq compensates …`, for a schema's description. */
export function methodSummaries(kind: MethodKind): string {
  return methodsOf(kind)
    .map(({ name, summary }) => `${name} ${summary}`)
    .join(', ');
}
