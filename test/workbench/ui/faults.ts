import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Session } from './session.ts';

const FAULTY = `{
  "model": "modell",
  "calibration": { "text": "calibration.txt" }
}
`;

/** Nothing is started that cannot run: the message names file, line and fault, and leads to the list of faults. */
export async function refuseFaults({ folder, rig, workbench }: Session): Promise<void> {
  writeFileSync(join(folder, 'faulty.spinquant.json'), FAULTY);
  await workbench.openFile('faulty.spinquant.json');
  await rig.page.locator('.squiggly-error').first().waitFor();
  await workbench.command('SpinQuant: Optimize Rotation');
  const message = workbench.notification(/faulty\.spinquant\.json:2:12: .*modell/);
  await message.waitFor();
  await message.getByRole('button', { name: 'Show Problems' }).click();
  const problems = rig.page.locator('.markers-panel');
  await problems
    .getByText(/there is no folder .*modell/)
    .first()
    .waitFor();
}
