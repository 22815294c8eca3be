/** The fields as the person left them: numbers may be anything that was typed. */
export interface Draft {
  readonly prompt: string;
  readonly tokens: string;
  readonly temperature: string;
  readonly topP: string;
  readonly seed: string;
}

export interface GenerateToggles {
  /** Null until something was typed: the host's settings stand. */
  readonly draft: Draft | null;
  readonly asTable: boolean;
}
