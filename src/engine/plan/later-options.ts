import { METHODS } from '../../config/index.ts';
import type { ModelConfig } from '../model/config.ts';

/**
 * Options that came after keys were first kept in run folders, by name, with the value at which nothing changed. A key
 * leaves them out there, so that results of earlier versions serve.
 */
const LATER: Readonly<Record<string, unknown>> = {
  acrossHeads: false,
  fullRange: false,
  r4Blocks: 'widest',
  actOrder: false,
  groupScales: 'static',
  offset: 'none',
  firstTokens: 0,
  massiveWeight: 1,
  inputs: 'full-precision',
  target: 'weights',
  gptaqAlpha: 0.25,
  foem: 0,
  magr: 0,
  magrSteps: 200,
  sweeps: 0,
};

/** Plain data as versions before these options wrote it, unless it uses them. */
export function withoutLaterOptions(spec: unknown, config: Pick<ModelConfig, 'attentionBias'>): unknown {
  if (Array.isArray(spec)) return spec.map((part) => withoutLaterOptions(part, config));
  if (typeof spec !== 'object' || spec === null) return spec;
  const chosen = 'method' in spec ? spec.method : null;
  const entries = Object.entries(spec).filter(
    ([name, value]) => !isUnused(name, value, config) && !(chosen !== null && isOfOther(name, chosen)),
  );
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutLaterOptions(value, config)]));
}

/** Keys without a bias have no offset, whatever is set. */
function isUnused(
  name: string,
  value: unknown,
  { attentionBias }: Pick<ModelConfig, 'attentionBias'>,
): boolean {
  if (name === 'offset' && value === 'bias') return !attentionBias;
  return Object.hasOwn(LATER, name) && LATER[name] === value;
}

/** Options of a method that is not chosen decide nothing. */
function isOfOther(name: string, chosen: unknown): boolean {
  return name !== chosen && METHODS.some((method) => method.name === name && !method.isInEveryKey);
}
