/** What a run can be exported to: a row each. The work lies in `engine/export/<name>.ts`. */
export const EXPORT_FORMATS = {
  safetensors: { summary: 'R1 and R2.{layer} with where they come from', extension: 'safetensors' },
  rbin: { summary: 'the R.bin of the SpinQuant reference, a PyTorch dict', extension: 'bin' },
} as const satisfies Record<string, { readonly summary: string; readonly extension: string }>;

export type ExportFormatName = keyof typeof EXPORT_FORMATS;

export const EXPORT_FORMAT_NAMES = Object.keys(EXPORT_FORMATS) as ExportFormatName[];

export function isExportFormat(name: string): name is ExportFormatName {
  return Object.hasOwn(EXPORT_FORMATS, name);
}
