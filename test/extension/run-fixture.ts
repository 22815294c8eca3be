/** Runs as the extension reads them, made in memory: nothing of them is on a disk. */
import { experimentSchema, resolvePortable } from '../../src/config/index.ts';
import type { RunSummary } from '../../src/extension/runs/summaries.ts';
import { Run, type RunStatus } from '../../src/runs/index.ts';

export const FILE = '/lab/quick.spinquant.json';

interface Made {
  readonly id: string;
  readonly status?: RunStatus;
  /** The experiment of the run sets these besides the model and the texts. */
  readonly settings?: object;
  /** Perplexity of the quantized network; nothing was measured without. */
  readonly perplexity?: number;
  readonly measuredAt?: string;
}

export const TEXTS = {
  model: 'm',
  calibration: { text: 't' },
  evaluation: { perplexity: [{ name: 'wiki', text: 't' }] },
};

export function summary({
  id,
  status = 'finished',
  settings = {},
  perplexity,
  measuredAt = '2026-01-01T00:00:00Z',
}: Made): RunSummary {
  const run = new Run(`/lab/.spinquant/runs/${id}`, {
    version: 1,
    id,
    status,
    startedAt: measuredAt,
    finishedAt: null,
    experimentFile: '../../../quick.spinquant.json',
    bits: 'W4A4KV4',
    process: { pid: 1, host: 'h', startTicks: null },
    provenance: null,
    cell: null,
    uses: [],
    error: null,
  });
  const measured = { name: 'wiki', fullPrecision: 5, quantized: perplexity ?? null, windows: 1, tokens: 10 };
  return {
    run,
    measuredAt: new Date(measuredAt),
    experiment: resolvePortable(experimentSchema.parse({ ...TEXTS, ...settings }), FILE),
    results:
      perplexity === undefined
        ? null
        : {
            version: 1,
            bits: 'W4A4KV4',
            loss: null,
            orthogonalityError: null,
            steps: 0,
            perplexity: [measured],
            seconds: {},
            measuredAt,
          },
  };
}
