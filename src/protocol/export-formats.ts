/** Formats that a run can be exported to: an entry each. The work lies in `engine/export/<name>.ts`. */

export interface ExportFormatDescription {
  /** As menus name it. */
  readonly title: string;
  /** For the help of the command line, after the name. */
  readonly summary: string;
  /** Others expect the file under this name. */
  readonly fileName: string;
  readonly extension: string;
}

export const EXPORT_FORMATS = {
  safetensors: {
    title: 'safetensors',
    summary: 'R1 and R2.{layer} with where they come from',
    fileName: 'rotations',
    extension: 'safetensors',
  },
  rbin: {
    title: 'R.bin',
    summary: 'the R.bin of the SpinQuant reference, a PyTorch dict',
    fileName: 'R',
    extension: 'bin',
  },
} as const satisfies Record<string, ExportFormatDescription>;

export type ExportFormatName = keyof typeof EXPORT_FORMATS;

export const EXPORT_FORMAT_NAMES = Object.keys(EXPORT_FORMATS) as ExportFormatName[];

export function isExportFormat(name: string): name is ExportFormatName {
  return Object.hasOwn(EXPORT_FORMATS, name);
}
