/** Opens a pipe that nobody writes to instead of the file that HANGS_AT names: as a network disk that does not answer. */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { open } = promises;
const { HANGS_AT, HANGS_ON } = process.env;

promises.open = (path, ...more) => open(path === HANGS_AT ? HANGS_ON : path, ...more);
syncBuiltinESMExports();
