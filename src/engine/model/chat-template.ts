import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readingNow } from '../../disk/faults.ts';
import { readJsonFile } from '../../disk/json.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { isObject } from '../../protocol/object.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

type Json = Readonly<Record<string, unknown>>;

const CONFIG = 'tokenizer_config.json';
const OWN_FILE = 'chat_template.jinja';

/**
 * Writes a conversation as the model was trained on it, up to where its answer begins. The template is that of
 * `chat_template.jinja`, or else of `tokenizer_config.json`, there of the list the one that is called `default`. It is
 * given the messages and the texts of the special tokens, as transformers does.
 * @throws UserError `chat/no-template`, `chat/template` where the template refuses the messages or cannot be read.
 */
export async function renderChat(dir: string, messages: readonly ChatMessage[]): Promise<string> {
  const configPath = join(dir, CONFIG);
  const file = existsSync(configPath) ? readJsonFile(configPath) : {};
  const config = isObject(file) ? file : {};
  const { path, text } = templateOf(dir, config);
  const { Template } = await import('@huggingface/jinja');
  try {
    return new Template(text).render({ ...specialTexts(config), messages, add_generation_prompt: true });
  } catch (error) {
    throw new UserError(
      'chat/template',
      `The chat template of ${path} cannot write these messages: ${messageOf(error)}.`,
      messages.some(({ role }) => role === 'system')
        ? 'Leave --system out if the template takes none, or leave --chat out and write the prompt as the model expects it.'
        : 'Mend the template, or write the prompt as the model expects it, without a template.',
    );
  }
}

/** The text of a model's template; null where it has none. */
export function chatTemplateOf(dir: string): string | null {
  const own = join(dir, OWN_FILE);
  if (existsSync(own)) return readingNow(own, () => readFileSync(own, 'utf8'));
  const configPath = join(dir, CONFIG);
  const file = existsSync(configPath) ? readJsonFile(configPath) : {};
  return isObject(file) ? defaultTemplate(file.chat_template) : null;
}

function templateOf(dir: string, config: Json): { readonly path: string; readonly text: string } {
  const own = join(dir, OWN_FILE);
  if (existsSync(own)) return { path: own, text: readingNow(own, () => readFileSync(own, 'utf8')) };
  const text = defaultTemplate(config.chat_template);
  if (text !== null) return { path: join(dir, CONFIG), text };
  throw new UserError(
    'chat/no-template',
    `${dir} has no chat template: neither ${OWN_FILE} nor a chat_template in ${CONFIG}.`,
    'Use a model that was trained for conversations, or leave --chat out: the prompt is then continued as it stands.',
  );
}

function defaultTemplate(found: unknown): string | null {
  if (typeof found === 'string') return found;
  if (!Array.isArray(found)) return null;
  const entry = found.find((it: unknown) => isObject(it) && it.name === 'default');
  return isObject(entry) && typeof entry.template === 'string' ? entry.template : null;
}

/** `bos_token`, `eos_token` …, each a text, or an object with it as its content. */
function specialTexts(config: Json): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const text = isObject(value) ? value.content : value;
    if (key.endsWith('_token') && typeof text === 'string') texts[key] = text;
  }
  return texts;
}
