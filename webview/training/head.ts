import { fill } from '../../src/protocol/panels/fill.ts';
import type { TrainingIntent, TrainingRun } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import { measuredPerplexity } from '../../src/protocol/perplexity.ts';
import { ProblemBox, pushButton } from '../shared/controls.ts';
import { button, h, setAttribute, setHidden, setText } from '../shared/dom.ts';
import { formatNumber, formatPerplexity, formatSeconds } from '../shared/format.ts';

/** Signs beside the verdict's word; each has its own shape. */
const SIGNS = {
  'too-early': '…',
  unclear: '?',
  converging: '●',
  settled: '✓',
  stalled: '■',
  diverging: '▲',
} as const;

/** Which run, how far, whether it learns, and its buttons. */
export class TrainingHead {
  readonly element: HTMLElement;
  readonly #send: (intent: TrainingIntent) => void;
  readonly #title = h('h1');
  readonly #facts = h('span', { class: 'facts' });
  readonly #progress = h('progress', { max: 1, value: 0 });
  readonly #sign = h('span', { class: 'sign', 'aria-hidden': 'true' });
  readonly #word = h('strong');
  readonly #reason = h('span');
  readonly #verdict: HTMLElement;
  readonly #activity = h('p', { class: 'quiet', role: 'status' });
  readonly #perplexity = h('p', { class: 'perplexity' });
  readonly #orthogonal = h('span', { class: 'exact' });
  readonly #problem = new ProblemBox();
  readonly #notes = h('ul', { class: 'notes' });
  readonly #notesBox: HTMLDetailsElement;
  readonly #notesTitle = h('summary');
  readonly #buttons: Readonly<Record<'pause' | 'cancel' | 'resume', HTMLElement>>;
  #run = '';

  constructor(strings: TrainingStrings, send: (intent: TrainingIntent) => void) {
    this.#send = send;
    const act = (type: 'pause' | 'cancel' | 'resume') => () => this.#send({ type, run: this.#run });
    this.#buttons = {
      resume: pushButton(strings.resume, act('resume')),
      pause: pushButton(strings.pause, act('pause'), true),
      cancel: pushButton(strings.cancel, act('cancel'), true),
    };
    const open = button(
      strings.openExperiment,
      () => this.#send({ type: 'open-experiment', run: this.#run }),
      {
        class: 'link',
      },
    );
    this.#verdict = h(
      'p',
      { class: 'verdict', role: 'status' },
      this.#sign,
      this.#word,
      this.#reason,
      this.#orthogonal,
    );
    this.#notesBox = h('details', {}, this.#notesTitle, this.#notes);
    this.element = h(
      'header',
      { class: 'panel-head' },
      h(
        'div',
        { class: 'row spread' },
        h('div', { class: 'titles' }, this.#title, this.#facts),
        h('div', { class: 'buttons' }, open, ...Object.values(this.#buttons)),
      ),
      this.#progress,
      this.#verdict,
      this.#activity,
      this.#perplexity,
      this.#problem.element,
      this.#notesBox,
    );
  }

  /** @param learns whether there are steps, or will be. */
  show(run: TrainingRun, strings: TrainingStrings): void {
    const { learns } = run;
    this.#run = run.dir;
    setText(this.#title, run.title);
    setText(this.#facts, factsOf(run, strings, learns));
    setAttribute(this.#facts, 'title', run.composed && strings.composedHint);
    setAttribute(this.#progress, 'max', Math.max(1, run.of));
    setAttribute(this.#progress, 'value', run.step);
    setAttribute(this.#progress, 'aria-label', fill(strings.stepOf, run.step, run.of));
    setHidden(this.#progress, !learns);
    setHidden(this.#verdict, !learns);
    setAttribute(this.#verdict, 'data-kind', run.verdict.kind);
    setText(this.#sign, SIGNS[run.verdict.kind]);
    setText(this.#word, `${run.verdict.word}: `);
    setText(this.#reason, run.verdict.reason);
    const { orthogonal } = run;
    setText(
      this.#orthogonal,
      orthogonal === null ? '' : ` · ✓ ${fill(strings.orthogonal, formatNumber(orthogonal, 2))}`,
    );
    setText(this.#activity, run.activity ?? '');
    setHidden(this.#activity, run.activity === null);
    this.#problem.show(run.problem);
    setHidden(this.#buttons.pause, !run.canPause);
    setHidden(this.#buttons.cancel, !run.canCancel);
    setHidden(this.#buttons.resume, !run.canResume);
    this.#showPerplexity(run, strings);
    this.#showNotes(run, strings);
  }

  #showPerplexity({ perplexity }: TrainingRun, strings: TrainingStrings): void {
    const texts = perplexity
      .map(({ name, meanLoss, ...values }) => ({
        name,
        fullPrecision: measuredPerplexity(values.fullPrecision, meanLoss.fullPrecision),
        quantized: measuredPerplexity(values.quantized, meanLoss.quantized),
      }))
      .filter(({ quantized, fullPrecision }) => quantized !== null || fullPrecision !== null)
      .map(({ name, fullPrecision, quantized }) => {
        const value = fill(strings.against, formatPerplexity(quantized), formatPerplexity(fullPrecision));
        return `${fill(strings.perplexity, name)} ${value}`;
      });
    setText(this.#perplexity, texts.join('  ·  '));
    setHidden(this.#perplexity, texts.length === 0);
  }

  #showNotes({ notes }: TrainingRun, strings: TrainingStrings): void {
    setHidden(this.#notesBox, notes.length === 0);
    setText(this.#notesTitle, fill(strings.notes, notes.length));
    const texts = notes.map(({ kind, text }) => `${kind === 'passed' ? '✓' : '⚠'} ${text}`);
    const shown = [...this.#notes.children].map(({ textContent }) => textContent);
    if (texts.join('\n') !== shown.join('\n'))
      this.#notes.replaceChildren(...texts.map((text) => h('li', {}, text)));
  }
}

/** `llama-8b · step 41/100 · 6 min left` */
function factsOf(run: TrainingRun, strings: TrainingStrings, learns: boolean): string {
  const parts = [run.model, run.waiting ? strings.status.waiting : strings.status[run.status]];
  if (learns && run.of > 0) parts.push(fill(strings.stepOf, run.step, run.of));
  if (run.secondsLeft !== null) parts.push(fill(strings.left, formatSeconds(run.secondsLeft)));
  if (run.composed) parts.push(strings.composed);
  return parts.filter((part) => part !== '').join(' · ');
}
