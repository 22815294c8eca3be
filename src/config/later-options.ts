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
  r2Per: 'layer',
  inputs: 'full-precision',
  target: 'weights',
  gptaqAlpha: 0.25,
  foem: 0,
  magr: 0,
  magrSteps: 200,
  learnedClip: false,
  learnedClipSteps: 100,
  sweeps: 0,
  norms: false,
  keys: false,
};

/** Those of them that came after keys of cells were kept in runs. */
const LATER_THAN_CELLS: readonly string[] = [
  'fullRange',
  'r4Blocks',
  'massiveWeight',
  'r2Per',
  'norms',
  'keys',
  'learnedClip',
  'learnedClipSteps',
];

interface Biased {
  /** True where q, k and v have a bias. */
  readonly attentionBias: boolean;
}

/** The settings of a cell as versions before these options wrote them, unless they use them. */
export function asCellsWere(settings: unknown): unknown {
  return without(settings, (name, value) => LATER_THAN_CELLS.includes(name) && isAsBefore(name, value));
}

/** Plain data as versions before these options wrote it, unless it uses them. */
export function withoutLaterOptions(spec: unknown, config: Biased): unknown {
  return without(spec, (name, value, { method: chosen = null }) => {
    return isUnused(name, value, config) || (chosen !== null && isOfOther(name, chosen));
  });
}

/** @param beside the entries of the object that has this one. */
type Test = (name: string, value: unknown, beside: Readonly<Record<string, unknown>>) => boolean;

/** Plain data without the entries that are left out, at every depth. */
function without(data: unknown, isLeftOut: Test): unknown {
  if (Array.isArray(data)) return data.map((part) => without(part, isLeftOut));
  if (typeof data !== 'object' || data === null) return data;
  const beside = { ...data };
  const kept = Object.entries(data).filter(([name, value]) => !isLeftOut(name, value, beside));
  return Object.fromEntries(kept.map(([name, value]) => [name, without(value, isLeftOut)]));
}

const isAsBefore = (name: string, value: unknown): boolean =>
  Object.hasOwn(LATER, name) && LATER[name] === value;

/** Keys without a bias have no offset, whatever is set. */
function isUnused(name: string, value: unknown, { attentionBias }: Biased): boolean {
  if (name === 'offset' && (value === 'bias' || value === 'auto')) return !attentionBias;
  return isAsBefore(name, value);
}

/** Options of a method that is not chosen decide nothing. */
function isOfOther(name: string, chosen: unknown): boolean {
  return name !== chosen && METHODS.some((method) => method.name === name && !method.isInEveryKey);
}
