import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersIntent, LayersState, SiteDetail } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import { Picker, ProblemBox } from '../shared/controls.ts';
import { button, h, setHidden, setText } from '../shared/dom.ts';
import { formatDecibel, formatNumber } from '../shared/format.ts';
import { worstChannel } from './channels.ts';

/** Which run, layer and site, and what rotation did there in four pairs of numbers. */
export class LayersHead {
  readonly element: HTMLElement;
  readonly #title = h('h1');
  readonly #facts = h('span', { class: 'quiet' });
  readonly #runs: Picker;
  readonly #sites: Picker;
  readonly #layers: Picker;
  readonly #other: Picker;
  readonly #layerControls: HTMLElement;
  readonly #previous: HTMLButtonElement;
  readonly #next: HTMLButtonElement;
  readonly #stats = h('dl', { class: 'stats' });
  readonly #problem = new ProblemBox();

  /** @param choose moves to a layer, relative to the present one or by number. */
  constructor(
    strings: LayersStrings,
    send: (intent: LayersIntent) => void,
    choose: { by(step: number): void; to(layer: number): void },
  ) {
    this.#runs = new Picker(strings.run, (run) => send({ type: 'run', run }), true);
    this.#sites = new Picker(strings.site, (site) =>
      send({ type: 'site', site: site as SiteDetail['site'] }),
    );
    this.#other = new Picker(
      strings.beside,
      (run) => send({ type: 'other', run: run === '' ? null : run }),
      true,
    );
    this.#layers = new Picker(strings.layer, (layer) => choose.to(Number(layer)));
    this.#previous = button('‹', () => choose.by(-1), { class: 'icon', 'aria-label': strings.previousLayer });
    this.#next = button('›', () => choose.by(1), { class: 'icon', 'aria-label': strings.nextLayer });
    this.#layerControls = h(
      'span',
      { class: 'layer-controls' },
      this.#layers.element,
      this.#previous,
      this.#next,
    );
    this.element = h(
      'header',
      { class: 'panel-head' },
      h('div', { class: 'titles' }, this.#title, this.#facts),
      h(
        'div',
        { class: 'row' },
        this.#runs.element,
        this.#layerControls,
        this.#sites.element,
        this.#other.element,
      ),
      this.#stats,
      this.#problem.element,
    );
  }

  /** Of two runs each has its numbers above its charts. */
  showStats(shown: boolean): void {
    setHidden(this.#stats, !shown);
  }

  show(state: LayersState): void {
    const { strings, run, runs, sites, layers, detail, problem } = state;
    this.#problem.show(problem);
    this.#runs.show(
      runs.map(({ dir, title }) => ({ value: dir, label: title })),
      run?.dir ?? '',
    );
    const others = runs.filter(({ dir }) => dir !== run?.dir);
    setHidden(this.#other.element, others.length === 0);
    this.#other.show(
      [
        { value: '', label: strings.noOther },
        ...others.map(({ dir, title }) => ({ value: dir, label: title })),
      ],
      state.other?.run.dir ?? '',
    );
    for (const shown of [this.#layerControls, this.#sites.element, this.#stats])
      setHidden(shown, detail === null);
    if (run && !detail) {
      setText(this.#title, strings.attribution.title);
      setText(this.#facts, `${run.model} · ${run.title} · ${strings.notMeasuredText}`);
    }
    if (!run || !detail) return;
    setText(this.#title, `${fill(strings.layerNumber, detail.layer)} · ${strings.sites[detail.site]}`);
    setText(this.#facts, `${run.model} · ${run.title}`);
    this.#sites.show(
      sites.map((site) => ({ value: site, label: strings.sites[site] })),
      detail.site,
    );
    this.#layers.show(
      Array.from({ length: layers }, (_, layer) => ({ value: String(layer), label: String(layer) })),
      String(detail.layer),
    );
    this.#previous.disabled = detail.layer === 0;
    this.#next.disabled = detail.layer === layers - 1;
    showStats(this.#stats, detail, strings);
  }
}

/** What rotation did at a place, in four pairs of numbers; of keys without a part, a pair for that. */
export function showStats(list: HTMLElement, detail: SiteDetail, strings: LayersStrings): void {
  const { before, after, rotation, offset } = detail;
  const peak = (value: number | null) => fill(strings.sigma, formatNumber(value, 3));
  const decibel = (value: number | null) =>
    value === null ? strings.notQuantized : fill(strings.decibel, formatDecibel(value));
  const pairs: readonly (readonly [string, string, string])[] = [
    [strings.sqnr, decibel(before.sqnrDb), decibel(after.sqnrDb)],
    ...(offset
      ? [[strings.takenOut[offset.part], decibel(offset.keptSqnrDb), decibel(after.sqnrDb)] as const]
      : []),
    [strings.kurtosis, formatNumber(before.kurtosis, 3), formatNumber(after.kurtosis, 3)],
    [strings.peak, peak(before.peak), peak(after.peak)],
    [strings.worstChannel, worstChannel(before.channelMaxima), worstChannel(after.channelMaxima)],
  ];
  const title = rotation.length > 0 ? rotation.join(' ') : strings.noRotation;
  list.replaceChildren(
    h('div', { class: 'stat' }, h('dt', {}, strings.rotation), h('dd', {}, title)),
    ...pairs.map(([name, a, b]) =>
      h(
        'div',
        { class: 'stat' },
        h('dt', {}, name),
        h('dd', {}, ...(a === b ? [a] : [`${a} → `, h('strong', {}, b)])),
      ),
    ),
  );
}
