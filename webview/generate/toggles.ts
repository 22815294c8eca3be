/** The fields as the person left them: numbers may be anything that was typed. */
export interface Draft {
  readonly prompt: string;
  readonly tokens: string;
  readonly temperature: string;
  readonly topK: string;
  readonly topP: string;
  readonly minP: string;
  readonly repetitionPenalty: string;
  readonly seed: string;
  readonly stop: string;
  readonly chat: boolean;
}

export interface GenerateToggles {
  /** Null until something was typed: the host's settings stand, also for what an earlier version did not ask. */
  readonly draft: Partial<Draft> | null;
  readonly asTable: boolean;
}
