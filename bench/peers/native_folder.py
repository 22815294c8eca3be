"""A folder of `--target native` in Python's onnxruntime: the ONNX checker, perplexity and greedy tokens beside those of
`spinquant evaluate RUN --integer` and `spinquant generate RUN`.

    npm run build && npm run build:native
    node dist/cli.js export RUN --format onnx --target native --embeddings 32 --head 32 --out FOLDER
    python bench/peers/native_folder.py RUN FOLDER [TOKENS]

Needs the packages onnx and onnxruntime; with onnxruntime-genai, that one writes as well.

The engine gives the map of the residual to each run. ONNX Runtime sums products of a single row in another order where a
matrix is constant. So tokens are compared twice: of the folder as it is, which parts where two tokens are nearly as
likely, and with the map as an input, where all tokens must be equal. Leaves with 1 where they are not, or where
perplexity is off by more than 0.1 %: both hold for tables of 32 bits, and of 16 where the checkpoint has no more.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

ROOT = Path(__file__).parents[2]
PROMPTS = ["Once upon a time", "The little dog", "One day, Tom and his mother went to the"]
MOST_OFF = 1e-3
EQUAL = "all equal"


def spoken(command):
    """The JSON document that a program of ours prints."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout)


def cli(*words):
    return spoken(["node", str(ROOT / "dist" / "cli.js"), *words, "--json"])


def with_map_as_input(folder):
    """The model with its data, and the map of the residual that it now asks for, by its name."""
    model = onnx.load(folder / "model.onnx")
    given = {}
    for tensor in list(model.graph.initializer):
        if tensor.name == "residual.map":
            given[tensor.name] = onnx.numpy_helper.to_array(tensor)
            model.graph.initializer.remove(tensor)
            model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, 1, list(tensor.dims)))
    return model.SerializeToString(), given


class Folder:
    """A session with our operators, which reads one text."""

    def __init__(self, folder, model, given):
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(next(folder.glob("libspinquant_ops.*"))))
        self.session = onnxruntime.InferenceSession(model, options)
        self.given = given
        types = {"tensor(int8)": np.int8, "tensor(float)": np.float32}
        self.empty = {
            value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), types[value.type])
            for value in self.session.get_inputs()
            if value.name.startswith("past_key_values")
        }
        self.forget()

    def forget(self):
        self.cache = self.empty

    def read(self, ids):
        """Logits [n, V] of the next tokens."""
        feeds = {"input_ids": np.array([ids], np.int64), **self.given, **self.cache}
        logits, *grown = self.session.run(None, feeds)
        self.cache = dict(zip(self.cache, grown))
        return logits[0]


def mean_loss(logits, ids):
    scores = logits[:-1].astype(np.float64)
    highest = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
    return float(np.mean(total - scores[np.arange(len(ids) - 1), ids[1:]]))


def perplexity(folder, windows):
    losses = []
    for ids in windows:
        folder.forget()
        losses.append(mean_loss(folder.read(ids), ids))
    return math.exp(sum(losses) / len(losses))


def parted(folder, prompt, ids):
    """In words, where greedy tokens differ from these, and the lead that the folder's own has there."""
    folder.forget()
    logits = folder.read(prompt)[-1]
    for place, token in enumerate(ids):
        own = int(logits.argmax())
        if own != token:
            return f"parted at {place}, by {logits[own] - logits[token]:.1e} in logits"
        logits = folder.read([token])[-1]
    return EQUAL


def genai_parted(path, prompt, ids):
    """Where onnxruntime-genai's greedy tokens differ from these; a text where it is not installed."""
    try:
        import onnxruntime_genai
    except ImportError:
        return "not installed"
    model = onnxruntime_genai.Model(str(path))
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(max_length=len(prompt) + len(ids), do_sample=False)
    generator = onnxruntime_genai.Generator(model, parameters)
    generator.append_tokens(np.array([prompt], dtype=np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    written = [int(token) for token in generator.get_sequence(0)][len(prompt) :]
    place = next((i for i, (a, b) in enumerate(zip(written, ids)) if a != b), None)
    return EQUAL if place is None else f"parted at {place}"


def main():
    run, path = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
    tokens = sys.argv[3] if len(sys.argv) > 3 else "200"
    onnx.checker.check_model(path / "model.onnx", full_check=True)
    print(f"onnx {onnx.__version__}: the checker passes")
    folder = Folder(path, path / "model.onnx", {})
    same_order = Folder(path, *with_map_as_input(path))
    text = spoken(["node", "--import", "tsx", str(ROOT / "bench/peers/evaluation_windows.ts"), run])
    measured = cli("evaluate", run, "--integer")["perplexity"]
    own = next(each["quantized"] for each in measured if each["name"] == text["name"])
    found = perplexity(folder, text["windows"])
    off = found / own - 1
    print(f"{text['name']}: {found:.5f} in onnxruntime {onnxruntime.__version__}, {own:.5f} in the engine, {off:+.1e}")
    passes = abs(off) < MOST_OFF
    for prompt in PROMPTS:
        said = cli("generate", run, "--prompt", prompt, "--tokens", tokens, "--temperature", "0")
        start, ids = said["promptIds"], said["ids"]
        exact = parted(same_order, start, ids)
        print(
            f"{prompt!r}, {len(ids)} tokens, with the map as an input: {exact};"
            f" as it is: {parted(folder, start, ids)}; onnxruntime-genai: {genai_parted(path, start, ids)}"
        )
        passes = passes and exact == EQUAL
    sys.exit(0 if passes else 1)


main()
