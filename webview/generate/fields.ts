import type { GenerateSettings } from '../../src/protocol/panels/generate.ts';
import {
  LONGEST_PROMPT,
  LONGEST_STOP,
  type Range,
  SETTING_RANGES,
} from '../../src/protocol/panels/generate-limits.ts';
import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { h, setAttribute } from '../shared/dom.ts';
import type { Draft } from './toggles.ts';

type NumberName = keyof typeof SETTING_RANGES;
const NAMES = Object.keys(SETTING_RANGES) as NumberName[];
/** Have no effect where the most likely token is taken. */
const DRAWN: readonly NumberName[] = ['topK', 'topP', 'minP', 'seed'];

/** The prompt, and the few numbers that decide how it is gone on from. */
export class Fields {
  readonly prompt: HTMLElement;
  readonly numbers: HTMLElement;
  readonly #prompt: HTMLTextAreaElement;
  readonly #inputs: Readonly<Record<NumberName, HTMLInputElement>>;
  readonly #stop: HTMLInputElement;
  readonly #chat: HTMLInputElement;
  readonly #strings: GenerateStrings;

  /** @param enter Ctrl+Enter was pressed in a field. */
  constructor(strings: GenerateStrings, draft: Draft, change: (draft: Draft) => void, enter: () => void) {
    this.#strings = strings;
    this.#prompt = h('textarea', { rows: 3, maxlength: LONGEST_PROMPT, placeholder: strings.promptHint });
    this.#prompt.value = draft.prompt;
    const input = (name: NumberName): HTMLInputElement => {
      const { min, max, isWhole }: Range = SETTING_RANGES[name];
      const step = isWhole ? 1 : 'any';
      const element = h('input', { type: 'number', required: true, min, max, step });
      element.value = draft[name];
      return element;
    };
    this.#inputs = recordOf(NAMES, input);
    this.#stop = h('input', { type: 'text', maxlength: LONGEST_STOP });
    this.#stop.value = draft.stop;
    this.#chat = h('input', { type: 'checkbox', title: strings.chatHint });
    this.#chat.checked = draft.chat;
    this.prompt = h('label', { class: 'field prompt' }, h('span', {}, strings.prompt), this.#prompt);
    const field = (text: string, element: HTMLElement) =>
      h('label', { class: 'field' }, h('span', {}, text), element);
    const fields = NAMES.map((name) => field(strings[name], this.#inputs[name]));
    fields.push(field(strings.stopBefore, this.#stop), field(strings.chat, this.#chat));
    this.numbers = h('div', { class: 'row numbers' }, ...fields);
    for (const element of [this.prompt, this.numbers]) {
      element.addEventListener('input', () => {
        this.#showUse();
        change(this.#draft);
      });
      element.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        enter();
      });
    }
    this.#showUse();
  }

  /** The settings where all fields hold what they may; else null, and the field that does not says why. */
  read(): GenerateSettings | null {
    for (const name of NAMES) if (!this.#inputs[name].reportValidity()) return null;
    const { prompt, stop, chat, ...typed } = this.#draft;
    return { prompt, stop, chat, ...recordOf(NAMES, (name) => Number(typed[name])) };
  }

  get #draft(): Draft {
    return {
      prompt: this.#prompt.value,
      ...recordOf(NAMES, (name) => this.#inputs[name].value),
      stop: this.#stop.value,
      chat: this.#chat.checked,
    };
  }

  #showUse(): void {
    const isGreedy = Number(this.#inputs.temperature.value) === 0;
    for (const name of DRAWN) {
      this.#inputs[name].disabled = isGreedy;
      const use = name === 'topK' && this.#strings.allTokens;
      setAttribute(this.#inputs[name], 'title', isGreedy ? this.#strings.notDrawn : use);
    }
  }
}

export function draftOf({ prompt, stop, chat, ...numbers }: GenerateSettings): Draft {
  return { prompt, stop, chat, ...recordOf(NAMES, (name) => String(numbers[name])) };
}
