/** Where quantization costs the loss, for the page; and what the person wants of it, for an experiment file. */
import type { z } from 'zod';
import type { AttributionView, CurvePoint } from '../../../protocol/panels/attribution.ts';
import type { exceptSchema } from '../../../protocol/panels/attribution-intents.ts';
import { type AttributionFile, type BudgetPoint, exceptionText } from '../../../runs/index.ts';
import type { ExceptionInput } from '../../experiments/exceptions-text.ts';

export function attributionView(file: AttributionFile): AttributionView {
  const { bits, weights, tokens, loss, cells, curve = [] } = file;
  const layers = 1 + cells.reduce((most, { layer }) => Math.max(most, layer), -1);
  return { bits, weights, tokens, loss, layers, cells, curve: curve.map(curvePoint) };
}

function curvePoint({ bits, exceptions, perplexity }: BudgetPoint): CurvePoint {
  return { bits, perplexity, exceptions: exceptions.map(exceptionText).join('; ') };
}

const SITES = ['qkv', 'o', 'gate-up', 'down'] as const;

/** `{ sites: "down", layers: "worst:4", activations: { bits: 8 } }`, in the order in which people read it. */
export function exceptionOf({ target, layers, bits }: z.output<typeof exceptSchema>): ExceptionInput {
  const sites = SITES.find((site) => target.startsWith(`${site}-`));
  if (sites === undefined) return { layers, [target]: { bits } };
  return { sites, layers, [target.endsWith('-weights') ? 'weights' : 'activations']: { bits } };
}
