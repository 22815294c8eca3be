/**
 * The open requests to one worker process, which they share: it is not killed while one of them is wanted.
 * Knows nothing of the editor.
 */
import type { WorkerMethod } from '../../protocol/worker.ts';

/** Answered in moments, and asked again by whoever needs it: what works beside them counts alone. */
const QUESTIONS: readonly WorkerMethod[] = [
  ...(['handshake', 'check', 'obstacles', 'estimate'] as const),
  ...(['pause', 'shutdown'] as const),
];

interface Entry {
  readonly isQuestion: boolean;
  readonly ended: Promise<void>;
  isStopping: boolean;
  /** It was asked to stop, and its time for that is over. */
  isOverdue: boolean;
}

/** One request, for whoever sent it. */
export interface OpenRequest {
  /** It is asked to stop. */
  stop(): void;
  /** It was answered, or its process is gone. */
  end(): void;
}

export class OpenWork {
  readonly #entries = new Set<Entry>();
  readonly #graceMs: number;
  readonly #kill: () => void;

  /** @param kill ends the process, once all that works there has been asked to stop so many milliseconds ago. */
  constructor(graceMs: number, kill: () => void) {
    this.#graceMs = graceMs;
    this.#kill = kill;
  }

  begin(method: WorkerMethod): OpenRequest {
    let resolveEnded = () => {};
    const ended = new Promise<void>((resolve) => {
      resolveEnded = resolve;
    });
    const isQuestion = QUESTIONS.includes(method);
    const entry: Entry = { isQuestion, ended, isStopping: false, isOverdue: false };
    let grace: NodeJS.Timeout | undefined;
    this.#entries.add(entry);
    return {
      stop: () => {
        entry.isStopping = true;
        grace = setTimeout(() => {
          entry.isOverdue = true;
          this.#killIfUseless();
        }, this.#graceMs);
      },
      end: () => {
        clearTimeout(grace);
        this.#entries.delete(entry);
        resolveEnded();
        this.#killIfUseless();
      },
    };
  }

  /** Resolves when none of the work that was asked to stop by now goes on. */
  async stopped(): Promise<void> {
    const stopping = [...this.#entries].filter(({ isQuestion, isStopping }) => isStopping && !isQuestion);
    await Promise.all(stopping.map(({ ended }) => ended));
  }

  /** One that drags on is waited for while another works. */
  #killIfUseless(): void {
    const entries = [...this.#entries];
    const isWanted = entries.some(({ isQuestion, isOverdue }) => !isQuestion && !isOverdue);
    if (!isWanted && entries.some(({ isOverdue }) => isOverdue)) this.#kill();
  }
}
