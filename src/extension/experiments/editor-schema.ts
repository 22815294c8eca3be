import { experimentJsonSchema, type JsonSchema, type SchemaTree } from '../../config/index.ts';

/** A schema with the keys that only the editor's JSON support reads. */
interface EditorSchema extends Omit<JsonSchema, keyof SchemaTree<JsonSchema>>, SchemaTree<EditorSchema> {
  readonly markdownDescription?: string;
  readonly allowComments?: boolean;
  readonly allowTrailingCommas?: boolean;
}

/**
 * The schema of the experiment file for completion and hover. It offers every key and value but judges none of them:
 * the extension's own check reports what is wrong, with the allowed values, once.
 */
export function editorSchema(): EditorSchema {
  return {
    ...lenient(experimentJsonSchema()),
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'SpinQuant Lab experiment',
    allowComments: true,
    allowTrailingCommas: true,
  };
}

function lenient(schema: JsonSchema): EditorSchema {
  const { description, properties, items, anyOf } = schema;
  const about: EditorSchema = {
    ...(description !== undefined && { description, markdownDescription: markdown(schema, description) }),
    ...(schema.default !== undefined && { default: schema.default }),
  };
  if (properties)
    return {
      ...about,
      properties: Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, lenient(value)])),
    };
  if (items) return { ...about, items: lenient(items) };
  // The empty alternative lets everything pass.
  const options = (anyOf ?? [schema]).map(offered);
  return { ...about, anyOf: [...options, {}] };
}

/** Only what completion needs of one alternative. */
function offered(schema: JsonSchema): EditorSchema {
  if (schema.items) return { type: 'array', items: lenient(schema.items) };
  return {
    ...(schema.type !== undefined && { type: schema.type }),
    ...(schema.enum && { enum: schema.enum }),
    ...(schema.const !== undefined && { const: schema.const }),
  };
}

/** The description with its last part, what the reference implementation uses, and the default set apart. */
function markdown(schema: JsonSchema, description: string): string {
  const [meaning, reference] = description.split(' Reference: ', 2);
  const parts = [meaning!];
  if (reference !== undefined) parts.push(`*Reference implementation:* ${reference}`);
  if (schema.default !== undefined && typeof schema.default !== 'object')
    parts.push(`*Default:* \`${JSON.stringify(schema.default)}\``);
  if (schema.default === null) parts.push('*Default:* `null`');
  return parts.join('\n\n');
}
