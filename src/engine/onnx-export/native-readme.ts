import type { CacheRows } from './model-blocks.ts';

/** What the examples depend on. */
export interface ReadmeModel {
  readonly library: string;
  /** Platform that the library is for, such as `linux-x64`. */
  readonly platform: string;
  readonly rows: CacheRows;
  readonly kvHeads: number;
  /** The id that texts begin with. */
  readonly first: number;
}

/** How a folder with our operators is loaded from Python and from C++, in Markdown. */
export function nativeUsage(model: ReadmeModel): string {
  const { library, platform } = model;
  return `\`model.onnx\` uses operators of the domain \`spinquant\`. They are in \`${library}\`, built for ${platform}; ONNX Runtime
1.22 or newer loads it. \`export.json\` says where the model comes from, and what it does otherwise than its run.

The examples run in this folder. Token ids come from \`tokenizer.json\`, here a first one alone. A cache is empty at first,
and each step gives the next one. onnxruntime-genai finds all of this in \`genai_config.json\`.

### Python

${pythonExample(model)}

### C++

${cppExample(model)}`;
}

function pythonExample({ library, rows, first }: ReadmeModel): string {
  return `\`\`\`python
import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.register_custom_ops_library("./${library}")
session = ort.InferenceSession("model.onnx", options)
cache = {i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), ${rows.dtype === 'int8' ? 'np.int8' : 'np.float32'}) for i in session.get_inputs()[1:]}
ids, new = [${first}], [${first}]
for _ in range(20):
    logits, *grown = session.run(None, {"input_ids": np.array([new], np.int64), **cache})
    cache = dict(zip(cache, grown))
    new = [int(logits[0, -1].argmax())]
    ids += new
print(ids)
\`\`\``;
}

function cppExample({ library, rows, kvHeads, first }: ReadmeModel): string {
  return `\`\`\`cpp
#include <onnxruntime_cxx_api.h>
#include <algorithm>
#include <iostream>

int main() {
  Ort::Env env;
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(ORT_TSTR("./${library}"));
  Ort::Session session(env, ORT_TSTR("model.onnx"), options);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  int64_t id = ${first}, one[] = {1, 1}, none[] = {1, ${kvHeads}, 0, ${rows.width}};
  ${rows.dtype === 'int8' ? 'int8_t' : 'float'} nothing = 0;
  std::vector<Ort::Value> values;
  values.push_back(Ort::Value::CreateTensor(memory, &id, 1, one, 2));
  while (values.size() < session.GetInputCount()) values.push_back(Ort::Value::CreateTensor(memory, &nothing, 0, none, 4));
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Ort::AllocatedStringPtr> names;
  std::vector<const char*> from, to;
  for (size_t i = 0; i < session.GetInputCount(); i++) {
    from.push_back(names.emplace_back(session.GetInputNameAllocated(i, allocator)).get());
    to.push_back(names.emplace_back(session.GetOutputNameAllocated(i, allocator)).get());
  }
  for (int step = 0; step < 20; step++) {
    auto results = session.Run({}, from.data(), values.data(), values.size(), to.data(), to.size());
    const float* logits = results[0].GetTensorData<float>();
    id = std::max_element(logits, logits + results[0].GetTensorTypeAndShapeInfo().GetElementCount()) - logits;
    std::cout << id << ' ' << std::flush;
    std::move(results.begin() + 1, results.end(), values.begin() + 1);
  }
}
\`\`\``;
}

/** How a folder of stock operators is loaded from Python, in Markdown. */
export const STOCK_USAGE = `Any session of ONNX Runtime loads \`model.onnx\`; onnxruntime-genai writes from the folder:

\`\`\`python
import onnxruntime_genai as og

model = og.Model(".")
tokenizer = og.Tokenizer(model)
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length=200)
generator = og.Generator(model, parameters)
generator.append_tokens(tokenizer.encode("Once upon a time"))
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)))
\`\`\``;
