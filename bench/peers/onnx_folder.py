"""An exported ONNX folder in Python's ONNX tools: the checker, ONNX Runtime, and onnxruntime-genai's greedy text beside
that of `spinquant generate`.

    npm run build
    node dist/cli.js export MODEL_OR_RUN --format onnx --out FOLDER
    python bench/peers/onnx_folder.py MODEL_OR_RUN FOLDER [TOKENS]

Needs the packages onnx, onnxruntime and onnxruntime-genai. Where the tokens part, the logits of the folder tell by how
much: a run with 4-bit activations or a rounded cache computes other ones than its folder does.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxruntime_genai

CLI = Path(__file__).parents[2] / "dist" / "cli.js"
PROMPTS = ["Once upon a time", "The little dog", "One day, Tom and his mother went to the"]


def ours(named, prompt, tokens):
    command = ["node", str(CLI), "generate", named, "--prompt", prompt]
    command += ["--tokens", str(tokens), "--temperature", "0", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def genai(model, prompt, tokens):
    """Ids that onnxruntime-genai writes greedily behind those of a prompt."""
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(max_length=len(prompt) + tokens, do_sample=False)
    generator = onnxruntime_genai.Generator(model, parameters)
    generator.append_tokens(np.array([prompt], dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)][len(prompt) :]


class Whole:
    """A session that reads whole texts: no past."""

    def __init__(self, folder):
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])

    def logits(self, ids):
        feed = {}
        for value in self.session.get_inputs():
            if value.name.startswith("past_key_values"):
                _, heads, _, size = value.shape
                feed[value.name] = np.zeros((1, heads, 0, size), np.float32)
        feed["input_ids"] = np.array([ids], np.int64)
        feed["attention_mask"] = np.ones((1, len(ids)), np.int64)
        return self.session.run(["logits"], feed)[0][0]


def fused(folder):
    """Operators that are left when ONNX Runtime has optimised the graph."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder.parent / f"{folder.name}.optimized.onnx")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimized.data")
    onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    model = onnx.load(options.optimized_model_filepath, load_external_data=False)
    for path in [Path(options.optimized_model_filepath), folder.parent / "optimized.data"]:
        path.unlink(missing_ok=True)
    return Counter(node.op_type for node in model.graph.node)


def main():
    named, folder = sys.argv[1], Path(sys.argv[2])
    tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    onnx.checker.check_model(folder / "model.onnx", full_check=True)
    print(f"onnx {onnx.__version__}: the checker passes")
    print(f"onnxruntime {onnxruntime.__version__}: {dict(fused(folder))}")
    whole = Whole(folder)
    model = onnxruntime_genai.Model(str(folder))
    try:
        tokenizer = onnxruntime_genai.Tokenizer(model)
    except Exception as error:
        tokenizer = None
        print(f"onnxruntime-genai does not read the tokenizer: {error}")
    for prompt in PROMPTS:
        found = ours(named, prompt, tokens)
        start, ids = found["promptIds"], found["ids"]
        if tokenizer is not None:
            own = [int(token) for token in tokenizer.encode(prompt)]
            same = own in (start, start[1:])
            print(f"{prompt!r}: genai's tokenizer gives {'the same ids' if same else f'{own}, ours {start}'}")
        written = genai(model, start, len(ids))
        parts = next((i for i, (a, b) in enumerate(zip(written, ids)) if a != b), None)
        if parts is None:
            print(f"{prompt!r}: {len(written)} of {len(ids)} tokens, all equal")
            continue
        logits = whole.logits(start + ids[:parts])[-1]
        gap = logits[written[parts]] - logits[ids[parts]]
        print(f"{prompt!r}: equal for {parts} of {len(ids)} tokens; there the folder's logits differ by {gap:.4f}")


main()
