import type { CellCount } from '../../runs/index.ts';
import type { MatrixFiles, MatrixServices } from './matrix-files.ts';

/** How far tables are: the one count that lenses, status bar, panel and messages show. Loaded when first asked. */
export class TableCounts {
  readonly #services: MatrixServices;
  #files: MatrixFiles | null = null;

  constructor(services: MatrixServices) {
    this.#services = services;
  }

  /** Null where the file has no matrix, or faults. @param text of the file where it is not saved. */
  async of(file: string, text?: string): Promise<CellCount | null> {
    const { MatrixFiles } = await import('./matrix-files.ts');
    this.#files ??= new MatrixFiles(this.#services);
    return this.#files.count(file, text);
  }
}
