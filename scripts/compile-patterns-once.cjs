/**
 * Loaded into vsce by `package.mjs`. For every file of the project, vsce compiles every pattern of the list of what is
 * packed again: half of its time. Here each pattern is compiled once. CommonJS, as vsce is.
 */
const { createRequire } = require('node:module');

const patterns = createRequire(require.resolve('@vscode/vsce/vsce'))('minimatch');
const { Minimatch } = patterns;
const compiled = new Map();

// vsce gives the same options for all.
patterns.minimatch = (path, pattern, options) => {
  if (!compiled.has(pattern)) compiled.set(pattern, new Minimatch(pattern, options));
  return compiled.get(pattern).match(path);
};
