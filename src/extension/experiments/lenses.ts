import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import type { Experiment } from '../../config/index.ts';
import { COMMANDS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import type { EstimateResult } from '../../protocol/worker.ts';
import type { CellCount } from '../../runs/index.ts';
import { Disposables } from '../disposables.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import { onShownChange } from '../runs/changes.ts';
import type { RunSummaries, RunSummary } from '../runs/summaries.ts';
import type { Services } from '../services.ts';
import { throttle } from '../throttle.ts';
import { expectedText, formatShortAge, progressText } from '../words.ts';
import type { LastResult, Lens } from './lens-model.ts';

const AGE_INTERVAL_MS = 60_000;
const CHANGE_INTERVAL_MS = 500;
/** Seldom: lenses are drawn again, and one that is being pressed would slip away. */
const PROGRESS_INTERVAL_MS = 5000;
/** Between icon and words; a plain space is lost there. */
const GAP = '\u00a0';

export type LensServices = Pick<Services, 'jobs' | 'runs' | 'reasons' | 'tables' | 'estimates'>;

/** The lenses above the lines of an experiment: what can be done with it and what it gave last. */
export class ExperimentLenses implements vscode.CodeLensProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeCodeLenses = this.#changed.event;
  readonly #services: LensServices;
  readonly #summaries: RunSummaries;
  readonly #disposables = new Disposables();

  constructor(services: LensServices, summaries: RunSummaries) {
    const { jobs, runs, reasons, estimates } = services;
    this.#services = services;
    this.#summaries = summaries;
    const refresh = this.#disposables.add(throttle(() => this.#changed.fire(), CHANGE_INTERVAL_MS));
    const proceed = this.#disposables.add(throttle(() => this.#changed.fire(), PROGRESS_INTERVAL_MS));
    const ages = setInterval(refresh, AGE_INTERVAL_MS);
    this.#disposables.add({ dispose: () => clearInterval(ages) });
    this.#disposables.add(this.#changed);
    this.#disposables.add(onShownChange(runs, refresh));
    this.#disposables.add(reasons.onDidChange(refresh));
    this.#disposables.add(estimates.onDidChange(refresh));
    this.#disposables.add(jobs.onDidChange(refresh.now));
    this.#disposables.add(jobs.onEvent(proceed));
  }

  async provideCodeLenses(document: vscode.TextDocument): Promise<vscode.CodeLens[]> {
    const file = document.uri.fsPath;
    const text = document.getText();
    const [{ parseExperiment }, { isResumable }, { lensesOf }, cells] = await Promise.all([
      loadConfig(),
      loadRuns(),
      import('./lens-model.ts'),
      this.#services.tables.of(file, text),
    ]);
    const has = (name: 'rotations' | 'activations') => (summary: RunSummary) =>
      existsSync(summary.run.path(name));
    const lenses = lensesOf({
      parsed: parseExperiment(text, file),
      // A table says itself how far it is: the hundred runs of its cells need not be read.
      summaries: cells === null ? await this.#summaries.ofExperiment(file) : [],
      job:
        this.#services.jobs.all.find(
          ({ state, experiment }) => experiment === file && (state === 'running' || state === 'waiting'),
        ) ?? null,
      cells,
      expected: this.#services.estimates.of(file, text),
      isResumable: ({ run }) => isResumable(run),
      hasRotations: has('rotations'),
      hasActivations: has('activations'),
    });
    return lenses.map((lens) => this.#render(document, lens));
  }

  dispose(): void {
    this.#disposables.dispose();
  }

  #render(document: vscode.TextDocument, lens: Lens): vscode.CodeLens {
    const range = document.lineAt(Math.min(lens.line, document.lineCount - 1)).range;
    return new vscode.CodeLens(range, this.#command(document.uri, lens));
  }

  #command(uri: vscode.Uri, lens: Lens): vscode.Command {
    const { t } = vscode.l10n;
    switch (lens.kind) {
      case 'optimize':
        return optimizeCommand(uri, lens.expected);
      case 'fill-table':
        return fillCommand(uri, lens);
      case 'show-table':
        return press('table', t('Show table'), PANELS.results.command, uri);
      case 'progress':
        return this.#progressCommand(uri, lens);
      case 'pause':
        return press('debug-pause', t('Pause'), COMMANDS.pause, lens.job.id);
      case 'cancel':
        return press('stop', t('Cancel'), COMMANDS.cancel, lens.job.id);
      case 'resume':
        return press('debug-continue', t('Resume'), COMMANDS.resume, lens.runDir);
      case 'evaluate':
        return evaluateCommand(uri, lens.last, lens.runDir);
      case 'evaluate-plain':
        return plainCommand(uri, lens.last, lens.ofOtherBits);
      case 'compare': {
        const chosen = lens.runDirs.map((runDir) => ({ runDir }));
        const tooltip = t('Show the last results side by side, and where their experiments differ.');
        return { ...press('diff', t('Compare'), COMMANDS.compare, null, chosen), tooltip };
      }
      case 'rotation':
        return {
          title: rotationText(lens.rotation),
          tooltip: t(
            'R1 and R2 are merged into the weights; R3 and R4 are Hadamard transforms while the network runs.',
          ),
          command: lens.runDir === null ? '' : PANELS.layers.command,
          arguments: [lens.runDir],
        };
      case 'layers':
        return press('graph', t('Show layers ({0})', lens.bits), PANELS.layers.command, lens.runDir);
      case 'inspect': {
        const options = lens.runDir === null ? {} : { runDir: lens.runDir };
        const tooltip = t('Measure activations before and after rotation, for the layer views.');
        return { ...press('pulse', t('Activations'), COMMANDS.inspect, uri, options), tooltip };
      }
    }
  }

  /** Leads to the table that it fills, else to the curve of the run. */
  #progressCommand(uri: vscode.Uri, { job, cells }: Lens & { kind: 'progress' }): vscode.Command {
    const words =
      job.state === 'waiting'
        ? vscode.l10n.t('waits for its turn')
        : progressText(this.#services.jobs.progress(job.id), cells);
    const icon = job.state === 'waiting' ? 'watch' : 'sync~spin';
    return cells === null
      ? press(icon, words, PANELS.training.command, job.runDir)
      : { ...press(icon, words, PANELS.results.command, uri), tooltip: vscode.l10n.t('Show table') };
  }
}

function optimizeCommand(uri: vscode.Uri, expected: EstimateResult | null): vscode.Command {
  const { t } = vscode.l10n;
  const action = t('Learn the rotations, round the weights and measure.');
  if (expected === null)
    return { ...press('play', t('Optimize rotation'), COMMANDS.optimize, uri), tooltip: action };
  const words = t('Optimize rotation · {0}', expectedText(expected));
  return { ...press('play', words, COMMANDS.optimize, uri), tooltip: `${action}\n${estimateTooltip()}` };
}

const estimateTooltip = (): string =>
  vscode.l10n.t(
    'Time and memory are estimates for this machine, by what each step computes; spinquant plan lists the steps.',
  );

type FillLens = CellCount & { readonly expected: EstimateResult | null };

function fillCommand(uri: vscode.Uri, { done, total, expected }: FillLens): vscode.Command {
  const { t } = vscode.l10n;
  const words =
    expected === null || done === total
      ? t('Fill table ({0} of {1} cells done)', done, total)
      : t('Fill table ({0} of {1} cells done) · {2}', done, total, expectedText(expected));
  return {
    ...press('play', words, COMMANDS.optimize, uri),
    tooltip: t('Compute every cell of the matrix that has no numbers yet. What is done is kept.'),
  };
}

function press(icon: string, words: string, command: string, ...given: readonly unknown[]): vscode.Command {
  return { title: `$(${icon})${GAP}${words}`, command, arguments: [...given] };
}

function evaluateCommand(uri: vscode.Uri, last: LastResult | null, runDir: string | null): vscode.Command {
  const { t } = vscode.l10n;
  const [icon, words] = last === null ? ['play', t('Evaluate')] : ['sync', t('Re-run ({0})', lastText(last))];
  return {
    ...press(icon, words, COMMANDS.evaluate, uri, runDir === null ? {} : { runDir }),
    tooltip: tooltipOf(t('Evaluate: measure perplexity with the rotations of this experiment.'), last),
  };
}

function plainCommand(uri: vscode.Uri, last: LastResult | null, withBits: boolean): vscode.Command {
  const { t } = vscode.l10n;
  const words = last === null ? t('No rotation') : t('No rotation ({0})', lastText(last, withBits));
  return {
    ...press('circle-slash', words, COMMANDS.evaluate, uri, { withoutRotations: true }),
    tooltip: tooltipOf(t('Evaluate without any rotation: what rounding alone gives.'), last),
  };
}

/** `12.31 W4A4KV4, 2 h`, and whether the file has changed since. Short, to fit narrow editors beside a panel. */
function lastText(last: LastResult, withBits = true): string {
  const { perplexity, measuredAt, changed } = last;
  const [first, ...others] = perplexity;
  const more = others.length === 0 ? '' : ` +${others.length}`;
  const bits = withBits ? ` ${last.bits}` : '';
  const text = `${formatPerplexity(first?.quantized ?? null)}${more}${bits}, ${formatShortAge(measuredAt)}`;
  return changed.length === 0 ? text : vscode.l10n.t('{0}, stale', text);
}

/** The effect of a press, and all that the title has no room for. */
function tooltipOf(action: string, last: LastResult | null): string {
  if (last === null) return action;
  const { l10n } = vscode;
  return [
    action,
    l10n.t('Last: {0}, {1}', last.bits, last.measuredAt.toLocaleString(vscode.env.language)),
    ...last.perplexity.map(({ name, quantized, fullPrecision }) =>
      l10n.t(
        'Perplexity of {0}: {1} (full precision {2})',
        name,
        formatPerplexity(quantized),
        formatPerplexity(fullPrecision),
      ),
    ),
    ...(last.changed.length === 0 ? [] : [l10n.t('Changed since that run: {0}', last.changed.join(', '))]),
  ].join('\n');
}

/** `R1 learned · R2 learned · R3 R4 Hadamard`. */
function rotationText({ r1, r2, r3, r4, acrossHeads }: Experiment['rotation']): string {
  const online = [acrossHeads ? 'H' : '', r3 ? 'R3' : '', r4 ? 'R4' : '']
    .filter((name) => name !== '')
    .join(' ');
  return [
    vscode.l10n.t('R1 {0}', r1),
    vscode.l10n.t('R2 {0}', r2),
    online === '' ? vscode.l10n.t('R3 R4 off') : vscode.l10n.t('{0} Hadamard', online),
  ].join(' · ');
}
