/**
 * Every panel: a line each. The name of a panel is also that of its folders, `src/extension/panels/<name>` and
 * `webview/<name>`, and of its bundle.
 */
export const PANELS = {
  training: { viewType: 'spinquant.training', command: 'spinquant.showTraining' },
  layers: { viewType: 'spinquant.layersPanel', command: 'spinquant.showLayers' },
  results: { viewType: 'spinquant.results', command: 'spinquant.showResults' },
  generate: { viewType: 'spinquant.generate', command: 'spinquant.compareText' },
} as const satisfies Record<string, { readonly viewType: string; readonly command: string }>;

export type PanelName = keyof typeof PANELS;
export const PANEL_NAMES = Object.keys(PANELS) as PanelName[];
