/** The colours and fonts of the editor's theme, as charts need them. Pages read the same variables in CSS. */

export interface Theme {
  readonly foreground: string;
  /** For words that have less weight, and axes. */
  readonly muted: string;
  readonly background: string;
  /** For what the eye should find: the state after rotation, the run shown. */
  readonly accent: string;
  readonly grid: string;
  readonly danger: string;
  readonly font: string;
  readonly fontSizePx: number;
  /** Colours of runs A, B, C …; each also has its own letter and shape. */
  readonly runs: readonly string[];
  readonly highContrast: boolean;
}

/** The variables a theme may lack, with the default theme's values. */
const FALLBACK = {
  '--vscode-editor-foreground': '#3b3b3b',
  '--vscode-editor-background': '#ffffff',
  '--vscode-descriptionForeground': '#717171',
  '--vscode-charts-blue': '#1a85ff',
  '--vscode-charts-orange': '#d18616',
  '--vscode-charts-green': '#388a34',
  '--vscode-charts-purple': '#652d90',
  '--vscode-charts-red': '#e51400',
  '--vscode-charts-yellow': '#bf8803',
  '--vscode-font-family': 'sans-serif',
  '--vscode-font-size': '13px',
} as const;

type Token = keyof typeof FALLBACK;

/** @param read value of a CSS variable, empty where the theme has none. */
export function themeFrom(read: (token: string) => string, highContrast: boolean): Theme {
  const token = (name: Token): string => read(name).trim() || FALLBACK[name];
  const chart = (name: Token): string => opaque(token(name));
  const foreground = token('--vscode-editor-foreground');
  return {
    foreground,
    muted: highContrast ? foreground : token('--vscode-descriptionForeground'),
    background: token('--vscode-editor-background'),
    accent: chart('--vscode-charts-blue'),
    grid: highContrast ? foreground : token('--vscode-descriptionForeground'),
    danger: chart('--vscode-charts-red'),
    font: token('--vscode-font-family'),
    fontSizePx: Number.parseFloat(token('--vscode-font-size')) || 13,
    runs: [
      chart('--vscode-charts-blue'),
      chart('--vscode-charts-orange'),
      chart('--vscode-charts-green'),
      chart('--vscode-charts-purple'),
      chart('--vscode-charts-red'),
      chart('--vscode-charts-yellow'),
    ],
    highContrast,
  };
}

/** Half of a background, or a little less: a line of it stands out from both at 3 : 1. */
const LESS = 0.45;

/** For what is only there to compare with, such as the state before rotation: less than text, and no accent. */
export function beforeColor({ foreground, background }: Pick<Theme, 'foreground' | 'background'>): string {
  return mixed(foreground, background);
}

/** The colour between two, the nearer to the first; that itself where either cannot be read. */
export function mixed(color: string, background: string): string {
  const [a, b] = [channels(color), channels(background)];
  if (!a || !b) return color;
  const between = a.map((value, index) => Math.round((1 - LESS) * value + LESS * b[index]!));
  return `rgb(${between.join(', ')})`;
}

function channels(color: string): number[] | null {
  const hex = /^#([0-9a-f]{6}|[0-9a-f]{3})$/i.exec(opaque(color))?.[1];
  if (hex) {
    const size = hex.length / 3;
    return [0, 1, 2].map((at) => {
      const digits = hex.slice(at * size, (at + 1) * size);
      return Number.parseInt(size === 1 ? digits + digits : digits, 16);
    });
  }
  const parts = /^rgb\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+)\s*\)$/i.exec(opaque(color));
  return parts?.slice(1, 4).map(Number) ?? null;
}

/** Some themes take their colours of charts from highlights that let the background through: too pale for a line. */
export function opaque(color: string): string {
  const hex = /^#(?:([0-9a-f]{6})[0-9a-f]{2}|([0-9a-f]{3})[0-9a-f])$/i.exec(color);
  if (hex) return `#${hex[1] ?? hex[2]}`;
  const parts = /^rgba?\(\s*([\d.]+)[,\s]+([\d.]+)[,\s]+([\d.]+)\s*[,/][^)]*\)$/i.exec(color);
  return parts ? `rgb(${parts[1]}, ${parts[2]}, ${parts[3]})` : color;
}

export function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const highContrast = /vscode-high-contrast/.test(document.body.className);
  return themeFrom((token) => style.getPropertyValue(token), highContrast);
}

/** VS Code writes a new theme into the attributes of the page; both come in one turn, so one call is enough. */
export function onThemeChange(listener: (theme: Theme) => void): void {
  let asked = false;
  const observer = new MutationObserver(() => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      listener(readTheme());
    });
  });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style', 'class'] });
  observer.observe(document.body, { attributes: true, attributeFilter: ['class', 'data-vscode-theme-id'] });
}
