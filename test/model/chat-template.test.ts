/** Conversations by a model's chat template, and the tokens that end a text. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ChatMessage, renderChat } from '../../src/engine/model/chat-template.ts';
import { readEndTokens } from '../../src/engine/model/generation-config.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

const CHATML = `{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- bos_token + 'system: be kind' + eos_token + '\\n' }}
    {%- endif %}
    {{- bos_token + message.role + ': ' + message.content | trim + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- bos_token + 'assistant:' }}
{%- endif %}`;
const ASKED: readonly ChatMessage[] = [{ role: 'user', content: ' Why? ' }];

function folder(t: TestContext, files: Readonly<Record<string, unknown>>): string {
  const dir = temporaryFolder(t);
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));
  return dir;
}

test('a template of tokenizer_config.json gets messages and special tokens', async (t) => {
  const config = { bos_token: '<s>', eos_token: { content: '</s>', special: true } };
  const expected = '<s>system: be kind</s>\n<s>user: Why?</s>\n<s>assistant:';
  const dir = folder(t, { 'tokenizer_config.json': { ...config, chat_template: CHATML } });
  assert.equal(await renderChat(dir, ASKED), expected);
  const system = { role: 'system', content: 'Be brief.' } as const;
  const told = '<s>system: Be brief.</s>\n<s>user: Why?</s>\n<s>assistant:';
  assert.equal(await renderChat(dir, [system, ...ASKED]), told);
  const named = [
    { name: 'tool_use', template: 'other' },
    { name: 'default', template: CHATML },
  ];
  const listed = folder(t, { 'tokenizer_config.json': { ...config, chat_template: named } });
  assert.equal(await renderChat(listed, ASKED), expected);
});

test('chat_template.jinja comes before the one of tokenizer_config.json', async (t) => {
  const dir = folder(t, {
    'chat_template.jinja': '{% for m in messages %}\n[{{ m.role }}] {{ m.content }}\n{% endfor %}\n',
    'tokenizer_config.json': { chat_template: 'other' },
  });
  // A line that holds a block alone is no line of the result.
  assert.equal(await renderChat(dir, ASKED), '[user]  Why? \n');
});

test('a missing template, and one that refuses, say what to do', async (t) => {
  const none = folder(t, { 'tokenizer_config.json': { bos_token: '<s>' } });
  await rejectsWith(() => renderChat(none, ASKED), 'chat/no-template', /neither chat_template\.jinja nor/);
  await rejectsWith(() => renderChat(folder(t, {}), ASKED), 'chat/no-template', /no chat template/);
  const refusing = "{{ raise_exception('System role not supported') }}";
  const strict = folder(t, { 'chat_template.jinja': refusing });
  await rejectsWith(() => renderChat(strict, ASKED), 'chat/template', /System role not supported/);
  const damaged = folder(t, { 'chat_template.jinja': '{% for m in %}' });
  await rejectsWith(() => renderChat(damaged, ASKED), 'chat/template', /chat_template\.jinja/);
});

test('end tokens are those of generation_config.json, then of config.json', async (t) => {
  const config = { eos_token_id: 2 };
  const both = { 'config.json': config, 'generation_config.json': { eos_token_id: [7, 9] } };
  assert.deepEqual(readEndTokens(folder(t, both)), [7, 9]);
  assert.deepEqual(readEndTokens(folder(t, { ...both, 'generation_config.json': { top_p: 1 } })), [2]);
  assert.deepEqual(readEndTokens(folder(t, { 'config.json': config })), [2]);
  assert.deepEqual(readEndTokens(folder(t, { 'config.json': { eos_token_id: null } })), []);
  for (const bad of ['2', [2, -1], 1.5, {}]) {
    const dir = folder(t, { 'generation_config.json': { eos_token_id: bad } });
    await rejectsWith(
      () => readEndTokens(dir),
      'model/end-token',
      /generation_config\.json: eos_token_id is/,
    );
  }
});

test('a prompt begins with BOS where the files of the tokenizer say so', (t) => {
  const template = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
  };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false };
  const behind = { ...template, single: template.single.toReversed() };
  const addsBos = (processor: object | null, config: object): boolean => {
    const model = { type: 'BPE', vocab: { a: 1, '<u>': 2 }, merges: [], unk_token: '<u>' };
    const token = { id: 0, content: '<s>', special: true };
    const json = {
      added_tokens: [token],
      post_processor: processor,
      model: { ...model, vocab: { '<s>': 0, ...model.vocab } },
    };
    const dir = folder(t, { 'tokenizer.json': json, 'tokenizer_config.json': config });
    const tokenizer = openTokenizer(dir);
    assert.equal(tokenizer.unknownId, 2);
    return tokenizer.addsBos;
  };
  const named = { bos_token: '<s>' };
  assert.equal(addsBos(template, named), true);
  assert.equal(addsBos({ type: 'Sequence', processors: [byteLevel, template] }, named), true);
  assert.equal(addsBos(behind, named), false);
  assert.equal(addsBos(byteLevel, named), false);
  assert.equal(addsBos(null, named), false);
  assert.equal(addsBos(template, { ...named, add_bos_token: false }), false);
  assert.equal(addsBos(null, { ...named, add_bos_token: true }), true);
  assert.equal(addsBos(template, { bos_token: null, add_bos_token: true }), false, 'there is none');
});
