/** The present choices of each panel, for other panels to offer. Whoever reads them checks what they are. */
import type { PanelName } from '../../protocol/panels/registry.ts';

const memories = new Map<PanelName, unknown>();

export function remember(name: PanelName, memory: unknown): void {
  memories.set(name, memory);
}

export const rememberedBy = (name: PanelName): unknown => memories.get(name);
