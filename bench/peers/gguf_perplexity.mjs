/**
 * Perplexity of a GGUF file in llama.cpp, through the npm package node-llama-cpp, which is no dependency of ours:
 *
 *     npm install --ignore-scripts --prefix FOLDER node-llama-cpp@3.21.1 @node-llama-cpp/linux-x64@3.21.1
 *     node bench/peers/gguf_perplexity.mjs FOLDER MODEL.gguf IDS.json [TEXT.txt]
 *
 * IDS.json holds windows of token ids, as bench/peers/evaluation_windows.ts writes them. With a text, the ids that
 * llama.cpp gives its first 5000 characters are written out.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, file, windowsFile, textFile] = process.argv.slice(2);
const entry = join(resolve(folder), 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: 2 });
const model = await llama.loadModel({ modelPath: resolve(file), gpuLayers: 0 });
if (textFile) {
  const text = readFileSync(textFile, 'utf8').slice(0, 5000);
  console.log(JSON.stringify(model.tokenize(text)));
}
const { windows } = JSON.parse(readFileSync(windowsFile, 'utf8'));
const length = windows[0].length;
const context = await model.createContext({
  contextSize: length + 8,
  batchSize: length,
  sequences: 1,
  threads: 2,
});
const sequence = context.getSequence();
let sum = 0;
let count = 0;
for (const ids of windows) {
  await sequence.clearHistory();
  const asked = ids.map((id, i) =>
    i + 1 < ids.length ? [id, { generateNext: { probabilities: true } }] : id,
  );
  const losses = [];
  await sequence.controlledEvaluate(asked, {
    onTokenResult(index, { next }) {
      losses.push(-Math.log(next.probabilities.get(ids[index + 1])));
    },
  });
  sum += losses.reduce((total, each) => total + each, 0);
  count += losses.length;
}
console.log(`perplexity ${Math.exp(sum / count)} over ${count} tokens`);
process.exit(0);
