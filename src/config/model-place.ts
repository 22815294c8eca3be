/** Where a resolved model is, for those who only show what is known of it. */
import { hubAddress, locateModel } from '../hub/locate.ts';
import { UserError } from '../protocol/errors.ts';

export interface ModelPlace {
  /** Null where it must be downloaded first. */
  readonly folder: string | null;
  /** `org/name`; null for a folder on the disk. */
  readonly hubName: string | null;
}

/** @param resolved as experiments name it. A wrong address is nowhere: whoever runs the experiment is told. */
export function modelPlace(resolved: string): ModelPlace {
  try {
    return { folder: locateModel(resolved), hubName: hubAddress('model', resolved)?.name ?? null };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { folder: null, hubName: null };
  }
}
