/** This file lists the methods that an experiment can name, by kind, and describes them for its schema. */
import { z } from 'zod';
import type { MethodDescriptor, MethodKind } from './descriptor.ts';
import * as registry from './registry.ts';

export type { MethodDescriptor, MethodKind, OptionFault } from './descriptor.ts';

type Registered = (typeof registry)[keyof typeof registry];
type OfKind<Kind extends MethodKind> = Extract<Registered, { readonly kind: Kind }>;
export type MethodName<Kind extends MethodKind = MethodKind> = OfKind<Kind>['name'];

/** The options of a method, all with values. */
export type MethodOptions<Name extends MethodName> = Extract<
  Registered,
  { readonly name: Name }
>['options'] extends infer Schema extends z.ZodType
  ? z.output<Schema>
  : null;

/** Each method's options are under its name. */
type OptionsShape<Kind extends MethodKind> = {
  [M in OfKind<Kind> as M['options'] extends z.ZodType ? M['name'] : never]: M['options'];
};

/** All methods, in order of publication. */
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

/** Returns the name for tables. A name from another version's run that this one does not know stays as it is. */
export function methodTitle(name: string): string {
  return METHODS.find((method) => method.name === name)?.title ?? name;
}

/** @param others names that are not methods. */
export function nameSchema<Kind extends MethodKind, Other extends string = never>(
  kind: Kind,
  ...others: readonly Other[]
): z.ZodEnum<{ [N in MethodName<Kind> | Other]: N }> {
  const names = [...others, ...methodsOf(kind).map(({ name }) => name)];
  return z.enum(names) as unknown as z.ZodEnum<{ [N in MethodName<Kind> | Other]: N }>;
}

/** Returns the options of every method of a kind, by its name. */
export function optionsShape<Kind extends MethodKind>(kind: Kind): OptionsShape<Kind> {
  const entries = methodsOf(kind).flatMap(({ name, options }) => (options ? [[name, options] as const] : []));
  return Object.fromEntries(entries) as unknown as OptionsShape<Kind>;
}

/** Writes `rtn rounds each …, gptq compensates …` for a schema's description. */
export function methodSummaries(kind: MethodKind): string {
  return methodsOf(kind)
    .map(({ name, summary }) => `${name} ${summary}`)
    .join(', ');
}
