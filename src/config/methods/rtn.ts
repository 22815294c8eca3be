import type { MethodDescriptor } from './descriptor.ts';

export const rtn = {
  name: 'rtn',
  kind: 'rounding',
  title: 'RTN',
  summary: 'rounds each to the nearest grid point',
  paper: null,
  options: null,
  needsText: null,
  compensates: false,
} as const satisfies MethodDescriptor;
