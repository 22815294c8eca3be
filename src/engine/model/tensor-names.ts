/** Wrappers of PyTorch add such a part to a name, anywhere in it. */
const WRAPPERS = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;

const EMBEDDING = 'embed_tokens.weight';
const HEAD = 'lm_head.weight';

/**
 * Finds the names that transformers gives to a model's tensors, `model.….weight` and `lm_head.weight`, where a file
 * has them under another prefix: `module.`, `base_model.model.model.`, `language_model.model.`, none at all.
 * @returns the new name by the old one, for every name: the same one where no single mapping is plain.
 */
export function canonicalNames(names: readonly string[]): ReadonlyMap<string, string> {
  const bare =
    mapped(names, (name) => name.replace(WRAPPERS, '$1').replace(/^\.|\.(?=\.)/g, '')) ?? same(names);
  const found = new Set(bare.values());
  const prefixes = [...found]
    .filter((name) => name.endsWith(EMBEDDING))
    .map((name) => name.slice(0, -EMBEDDING.length));
  const models = prefixes.filter((prefix) => isModel(prefix, found));
  const [prefix] = models;
  if (prefix === undefined || models.length > 1 || prefix === 'model.') return bare;
  const head = headOf(prefix, found);
  const renamed = mapped(names, (name) => {
    const plain = bare.get(name)!;
    if (plain === head) return HEAD;
    return plain.startsWith(prefix) ? `model.${plain.slice(prefix.length)}` : plain;
  });
  return renamed ?? bare;
}

function isModel(prefix: string, found: ReadonlySet<string>): boolean {
  if (prefix !== '' && !prefix.endsWith('.')) return false;
  return found.has(`${prefix}norm.weight`) && found.has(`${prefix}layers.0.input_layernorm.weight`);
}

/** The head lies beside the model that the prefix names, inside it, or at the top. */
function headOf(prefix: string, found: ReadonlySet<string>): string | undefined {
  const around = prefix.replace(/(^|\.)model\.$/, '$1');
  return [around + HEAD, prefix + HEAD, HEAD].find((name) => found.has(name));
}

const same = (names: readonly string[]): Map<string, string> => new Map(names.map((name) => [name, name]));

/** Returns undefined where two names would become one. */
function mapped(names: readonly string[], rename: (name: string) => string): Map<string, string> | undefined {
  const renamed = new Map(names.map((name) => [name, rename(name)]));
  return new Set(renamed.values()).size === names.length ? renamed : undefined;
}
