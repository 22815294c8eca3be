// Loaded before a test: the addon built with checks of memory takes the place of the ordinary one.
import path from 'node:path';
import { addonOf, RELEASE, SANITIZED } from './build-native.mjs';

const load = process.dlopen;
process.dlopen = (module, file, ...rest) => {
  const wanted = path.resolve(file) === addonOf(RELEASE) ? addonOf(SANITIZED) : file;
  return load.call(process, module, wanted, ...rest);
};
