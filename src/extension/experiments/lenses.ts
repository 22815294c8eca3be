import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import type { Experiment } from '../../config/index.ts';
import { COMMANDS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { formatPerplexity } from '../../protocol/text.ts';
import { Disposables } from '../disposables.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import { onShownChange } from '../runs/changes.ts';
import type { RunSummaries, RunSummary } from '../runs/summaries.ts';
import type { Jobs, RunStore } from '../services.ts';
import { throttle } from '../throttle.ts';
import { formatShortAge, progressText } from '../words.ts';
import type { LastResult, Lens } from './lens-model.ts';

const AGE_INTERVAL_MS = 60_000;
const CHANGE_INTERVAL_MS = 500;
/** Seldom: lenses are drawn anew, and one that is being pressed would slip away. */
const PROGRESS_INTERVAL_MS = 5000;
/** Between icon and words; a plain space is lost there. */
const GAP = '\u00a0';

/** What can be done with an experiment and what it gave last, above its lines. */
export class ExperimentLenses implements vscode.CodeLensProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeCodeLenses = this.#changed.event;
  readonly #jobs: Jobs;
  readonly #summaries: RunSummaries;
  readonly #disposables = new Disposables();

  constructor(jobs: Jobs, runs: RunStore, summaries: RunSummaries) {
    this.#jobs = jobs;
    this.#summaries = summaries;
    const refresh = this.#disposables.add(throttle(() => this.#changed.fire(), CHANGE_INTERVAL_MS));
    const proceed = this.#disposables.add(throttle(() => this.#changed.fire(), PROGRESS_INTERVAL_MS));
    const ages = setInterval(refresh, AGE_INTERVAL_MS);
    this.#disposables.add({ dispose: () => clearInterval(ages) });
    this.#disposables.add(this.#changed);
    this.#disposables.add(onShownChange(runs, refresh));
    this.#disposables.add(jobs.onDidChange(refresh.now));
    this.#disposables.add(jobs.onEvent(proceed));
  }

  async provideCodeLenses(document: vscode.TextDocument): Promise<vscode.CodeLens[]> {
    const file = document.uri.fsPath;
    const [{ parseExperiment }, { isResumable }, { lensesOf }, summaries] = await Promise.all([
      loadConfig(),
      loadRuns(),
      import('./lens-model.ts'),
      this.#summaries.ofExperiment(file),
    ]);
    const has = (name: 'rotations' | 'activations') => (summary: RunSummary) =>
      existsSync(summary.run.path(name));
    const lenses = lensesOf({
      parsed: parseExperiment(document.getText(), file),
      summaries,
      job:
        this.#jobs.all.find(
          ({ state, experiment }) => experiment === file && (state === 'running' || state === 'waiting'),
        ) ?? null,
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
    const { l10n } = vscode;
    switch (lens.kind) {
      case 'optimize':
        return {
          title: `$(play)${GAP}${l10n.t('Optimize rotation')}`,
          command: COMMANDS.optimize,
          arguments: [uri],
        };
      case 'progress':
        return {
          title:
            lens.job.state === 'waiting'
              ? `$(watch)${GAP}${l10n.t('waits for its turn')}`
              : `$(sync~spin)${GAP}${progressText(this.#jobs.progress(lens.job.id))}`,
          command: PANELS.training.command,
          arguments: [lens.job.runDir],
        };
      case 'pause':
        return {
          title: `$(debug-pause)${GAP}${l10n.t('Pause')}`,
          command: COMMANDS.pause,
          arguments: [lens.job.id],
        };
      case 'cancel':
        return {
          title: `$(stop)${GAP}${l10n.t('Cancel')}`,
          command: COMMANDS.cancel,
          arguments: [lens.job.id],
        };
      case 'resume':
        return {
          title: `$(debug-continue)${GAP}${l10n.t('Resume')}`,
          command: COMMANDS.resume,
          arguments: [lens.runDir],
        };
      case 'evaluate':
        return evaluateCommand(uri, lens.last, lens.runDir);
      case 'evaluate-plain':
        return plainCommand(uri, lens.last, lens.ofOtherBits);
      case 'compare':
        return {
          title: `$(diff)${GAP}${l10n.t('Compare')}`,
          tooltip: l10n.t('Show the last results side by side, and where their experiments differ.'),
          command: COMMANDS.compare,
          arguments: [null, lens.runDirs.map((runDir) => ({ runDir }))],
        };
      case 'rotation':
        return {
          title: rotationText(lens.rotation),
          tooltip: l10n.t(
            'R1 and R2 are merged into the weights; R3 and R4 are Hadamard transforms while the network runs.',
          ),
          command: lens.runDir === null ? '' : PANELS.layers.command,
          arguments: [lens.runDir],
        };
      case 'layers':
        return {
          title: `$(graph)${GAP}${l10n.t('Show layers ({0})', lens.bits)}`,
          command: PANELS.layers.command,
          arguments: [lens.runDir],
        };
      case 'inspect':
        return {
          title: `$(pulse)${GAP}${l10n.t('Activations')}`,
          tooltip: l10n.t('Measure activations before and after rotation, for the layer views.'),
          command: COMMANDS.inspect,
          arguments: [uri, lens.runDir === null ? {} : { runDir: lens.runDir }],
        };
    }
  }
}

function evaluateCommand(uri: vscode.Uri, last: LastResult | null, runDir: string | null): vscode.Command {
  return {
    title:
      last === null
        ? `$(play)${GAP}${vscode.l10n.t('Evaluate')}`
        : `$(sync)${GAP}${vscode.l10n.t('Re-run ({0})', lastText(last))}`,
    tooltip: tooltipOf(
      vscode.l10n.t('Evaluate: measure perplexity with the rotations of this experiment.'),
      last,
    ),
    command: COMMANDS.evaluate,
    arguments: [uri, runDir === null ? {} : { runDir }],
  };
}

function plainCommand(uri: vscode.Uri, last: LastResult | null, withBits: boolean): vscode.Command {
  return {
    title:
      last === null
        ? `$(circle-slash)${GAP}${vscode.l10n.t('No rotation')}`
        : `$(circle-slash)${GAP}${vscode.l10n.t('No rotation ({0})', lastText(last, withBits))}`,
    tooltip: tooltipOf(vscode.l10n.t('Evaluate without any rotation: what rounding alone gives.'), last),
    command: COMMANDS.evaluate,
    arguments: [uri, { withoutRotations: true }],
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

/** What a press does, and all that the title has no room for. */
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
function rotationText({ r1, r2, r3, r4 }: Experiment['rotation']): string {
  const online = [r3 ? 'R3' : '', r4 ? 'R4' : ''].filter((name) => name !== '').join(' ');
  return [
    vscode.l10n.t('R1 {0}', r1),
    vscode.l10n.t('R2 {0}', r2),
    online === '' ? vscode.l10n.t('R3 R4 off') : vscode.l10n.t('{0} Hadamard', online),
  ].join(' · ');
}
