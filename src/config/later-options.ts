import { METHODS } from './methods/index.ts';

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

/** Those of them that came after keys of cells were kept in runs. */
const LATER_THAN_CELLS: readonly string[] = ['fullRange', 'r4Blocks', 'massiveWeight'];

interface Biased {
  /** True where q, k and v have a bias. */
  readonly attentionBias: boolean;
}

/** The settings of a cell as versions before these options wrote them, unless they use them. */
export function asCellsWere(settings: unknown): unknown {
  if (Array.isArray(settings)) return settings.map(asCellsWere);
  if (typeof settings !== 'object' || settings === null) return settings;
  const entries = Object.entries(settings).filter(
    ([name, value]) => !(LATER_THAN_CELLS.includes(name) && LATER[name] === value),
  );
  return Object.fromEntries(entries.map(([name, value]) => [name, asCellsWere(value)]));
}

/** Plain data as versions before these options wrote it, unless it uses them. */
export function withoutLaterOptions(spec: unknown, config: Biased): unknown {
  if (Array.isArray(spec)) return spec.map((part) => withoutLaterOptions(part, config));
  if (typeof spec !== 'object' || spec === null) return spec;
  const chosen = 'method' in spec ? spec.method : null;
  const entries = Object.entries(spec).filter(
    ([name, value]) => !isUnused(name, value, config) && !(chosen !== null && isOfOther(name, chosen)),
  );
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutLaterOptions(value, config)]));
}

/** Keys without a bias have no offset, whatever is set. */
function isUnused(name: string, value: unknown, { attentionBias }: Biased): boolean {
  if (name === 'offset' && value === 'bias') return !attentionBias;
  return Object.hasOwn(LATER, name) && LATER[name] === value;
}

/** Options of a method that is not chosen decide nothing. */
function isOfOther(name: string, chosen: unknown): boolean {
  return name !== chosen && METHODS.some((method) => method.name === name && !method.isInEveryKey);
}
