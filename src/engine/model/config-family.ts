import { UserError } from '../../protocol/errors.ts';
import type { ConfigFields } from './config-fields.ts';

export type Architecture = 'llama' | 'mistral' | 'qwen2' | 'qwen3';

/** An architecture's defaults where its config.json has no value, as in transformers. */
export interface Family {
  readonly architecture: Architecture;
  readonly kvHeads: number | null;
  readonly headDim: number | null;
  readonly maxPositions: number;
  /** Layers that may have a sliding window; config.json switches `listed` ones on and may name them. */
  readonly windows: 'none' | 'all' | 'listed';
}

/** By `model_type` of config.json. */
const FAMILIES: Readonly<Record<Architecture, Family>> = {
  llama: { architecture: 'llama', kvHeads: null, headDim: null, maxPositions: 2048, windows: 'none' },
  mistral: { architecture: 'mistral', kvHeads: 8, headDim: null, maxPositions: 131072, windows: 'all' },
  qwen2: { architecture: 'qwen2', kvHeads: 32, headDim: null, maxPositions: 32768, windows: 'listed' },
  qwen3: { architecture: 'qwen3', kvHeads: 32, headDim: 128, maxPositions: 32768, windows: 'listed' },
};

/** A class name is the type with a word for how the model was wrapped before it, and one for its head behind. */
const CLASS = /^(?:FSDP)?(.+?)(?:ForCausalLM|Model)$/;

/**
 * Finds the architecture by `model_type`, as transformers does. Class names in `architectures` come from whatever
 * wrapped the model when it was saved: they count where there is no `model_type`.
 * @throws UserError `model/architecture`
 */
export function readFamily(fields: ConfigFields): Family {
  const type = fields.value('model_type') ?? undefined;
  const listed = fields.value('architectures');
  const name = Array.isArray(listed) && listed.length > 0 ? String(listed[0]) : undefined;
  const asked = type ?? (name === undefined ? undefined : CLASS.exec(name)?.[1]?.toLowerCase());
  const family = Object.values(FAMILIES).find(({ architecture }) => architecture === asked);
  if (family) return family;
  const found = type === undefined ? `the architecture ${name}` : `model_type ${JSON.stringify(type)}`;
  const nothing = type === undefined && name === undefined;
  const supported = Object.keys(FAMILIES).join(', ');
  throw new UserError(
    'model/architecture',
    nothing
      ? `${fields.path} has neither model_type nor architectures; supported are ${supported}.`
      : `${fields.path}: ${found} is not supported; supported are ${supported}.`,
    nothing
      ? 'Set "model_type" in config.json to the one on the model card.'
      : 'Choose a model of one of these types.',
  );
}
