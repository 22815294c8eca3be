/** A comparison as far as it is told. Knows nothing of the editor. */
import type {
  ColumnEvent,
  ComparisonEvent,
  NetworkBytes,
  TextJudgement,
} from '../../../protocol/comparison.ts';
import type { PhaseName, RunEvent } from '../../../protocol/events.ts';
import type { Problem } from '../../../protocol/panels/common.ts';
import type { ColumnStatus, JudgedToken, WrittenToken } from '../../../protocol/panels/generate.ts';

/** A network that writes and judges. */
export class ComparedColumn {
  status: ColumnStatus = 'waiting';
  bits = '';
  bytes: NetworkBytes | null = null;
  text = '';
  tokensPerSecond: { readonly prefill: number | null; readonly decode: number | null } | null = null;
  summary: TextJudgement | null = null;
  problem: Problem | null = null;
  readonly written: WrittenToken[] = [];
  readonly judged: JudgedToken[] = [];

  hear(event: ColumnEvent): void {
    switch (event.type) {
      case 'started':
        this.status = 'working';
        break;
      case 'network':
        ({ bits: this.bits, bytes: this.bytes } = event);
        break;
      case 'token':
        this.text += event.text;
        this.written.push({ text: event.text, logProbability: event.logProbability });
        break;
      case 'text-end':
        this.#rest(event.text);
        break;
      case 'written':
        this.tokensPerSecond = event.tokensPerSecond;
        break;
      case 'judged':
        this.judged.push({ logProbability: event.logProbability, divergence: event.divergence });
        break;
      case 'text-judged': {
        const { type: _, ...summary } = event;
        this.summary = summary;
        this.status = 'done';
        break;
      }
      case 'failed':
        this.problem = { message: event.message, hint: event.hint };
        this.status = 'failed';
        break;
      case 'prompt':
        break;
    }
  }

  /** Text that was held back belongs to the last token. */
  #rest(text: string): void {
    const last = this.written.pop();
    if (!last) return;
    this.text += text;
    this.written.push({ ...last, text: last.text + text });
  }
}

/** What is at work. */
export type Activity =
  | { readonly column: number; readonly doing: 'starting' }
  | { readonly column: number; readonly doing: 'phase'; readonly phase: PhaseName }
  | {
      readonly column: number;
      readonly doing: 'writing' | 'judging';
      readonly token: number;
      readonly of: number;
    };

/** Full precision and the runs beside it. */
export class Comparison {
  readonly prompt: string;
  readonly runs: readonly string[];
  /** Full precision, then the runs. */
  readonly columns: readonly ComparedColumn[];
  #at = 0;
  #limit = 0;
  #phase: PhaseName | null = null;

  constructor(prompt: string, runs: readonly string[]) {
    this.prompt = prompt;
    this.runs = runs;
    this.columns = ['', ...runs].map(() => new ComparedColumn());
  }

  hear(events: readonly (RunEvent | ComparisonEvent)[]): void {
    for (const event of events) {
      if (event.type === 'column') {
        this.#at = event.column;
        if (event.event.type === 'prompt') this.#limit = event.event.tokens;
        if (event.event.type !== 'started') this.#phase = null;
        this.columns[event.column]?.hear(event.event);
      } else if (event.type === 'phase' && event.state === 'started') this.#phase = event.phase;
    }
  }

  /** Whatever was not done will not be. */
  stop(): void {
    for (const column of this.columns)
      if (column.status === 'waiting' || column.status === 'working') column.status = 'stopped';
  }

  get activity(): Activity {
    const column = this.#at;
    const { written, judged, tokensPerSecond } = this.columns[column]!;
    const text = this.columns[0]!.written.length;
    if (this.#phase !== null) return { column, doing: 'phase', phase: this.#phase };
    if (judged.length > 0 || (tokensPerSecond && column > 0))
      return { column, doing: 'judging', token: Math.min(text, judged.length + 1), of: text };
    if (written.length === 0) return { column, doing: 'starting' };
    return { column, doing: 'writing', token: written.length, of: this.#limit };
  }

  /** Tokens that were written and judged, as a share of all: each run does both. */
  get done(): number {
    const text = this.columns[0]!;
    const length = text.tokensPerSecond ? text.written.length : Math.max(this.#limit, 1);
    const shares = this.columns.map(({ status, written, judged }, column) => {
      if (status === 'done' || status === 'failed') return 1;
      return Math.min(1, (written.length + judged.length) / (column === 0 ? length : 2 * length));
    });
    return shares.reduce((sum, share) => sum + share, 0) / shares.length;
  }
}
