"""A folder of `--target native` in Python's onnxruntime: the ONNX checker, perplexity and greedy tokens beside those of
`spinquant evaluate RUN --integer` and `spinquant generate RUN`.

    npm run build && npm run build:native
    node dist/cli.js export RUN --format onnx --target native --out FOLDER
    python bench/peers/native_folder.py RUN FOLDER [TOKENS]

Needs the packages onnx and onnxruntime; with onnxruntime-genai, that one writes as well. Leaves with 1 where perplexity
is off by more than 0.1 %, or where a token differs although its likelihood leads by more than float32 sums in another
order may take away.
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


def spoken(command):
    """The JSON document that a program of ours prints."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout)


def cli(*words):
    return spoken(["node", str(ROOT / "dist" / "cli.js"), *words, "--json"])


class Folder:
    """A session with our operators, which reads one text."""

    def __init__(self, folder):
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(str(next(folder.glob("libspinquant_ops.*"))))
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        types = {"tensor(int8)": np.int8, "tensor(float)": np.float32}
        self.empty = {
            value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), types[value.type])
            for value in self.session.get_inputs()[1:]
        }
        self.forget()

    def forget(self):
        self.cache = self.empty

    def read(self, ids):
        """Logits [n, V] of the next tokens."""
        logits, *grown = self.session.run(None, {"input_ids": np.array([ids], np.int64), **self.cache})
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
    """Where greedy tokens differ from these, with the lead that the folder's own has there; None if nowhere."""
    folder.forget()
    logits = folder.read(prompt)[-1]
    for place, token in enumerate(ids):
        own = int(logits.argmax())
        if own != token:
            return place, float(logits[own] - logits[token])
        logits = folder.read([token])[-1]
    return None


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
    return next((i for i, (a, b) in enumerate(zip(written, ids)) if a != b), f"all {len(written)} equal")


def main():
    run, path = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
    tokens = sys.argv[3] if len(sys.argv) > 3 else "200"
    onnx.checker.check_model(path / "model.onnx", full_check=True)
    print(f"onnx {onnx.__version__}: the checker passes")
    folder = Folder(path)
    text = spoken(["node", "--import", "tsx", str(ROOT / "bench/peers/evaluation_windows.ts"), run])
    measured = cli("evaluate", run, "--integer")["perplexity"]
    own = next(each["quantized"] for each in measured if each["name"] == text["name"])
    found = perplexity(folder, text["windows"])
    off = found / own - 1
    print(f"{text['name']}: {found:.5f} in onnxruntime {onnxruntime.__version__}, {own:.5f} in the engine, {off:+.1e}")
    passes = abs(off) < MOST_OFF
    for prompt in PROMPTS:
        said = cli("generate", run, "--prompt", prompt, "--tokens", tokens, "--temperature", "0")
        ids = said["ids"]
        where = parted(folder, said["promptIds"], ids)
        words = "all equal" if where is None else f"parted at {where[0]}, by {where[1]:.2e} in logits"
        print(f"{prompt!r}: {len(ids)} tokens, {words}; onnxruntime-genai: {genai_parted(path, said['promptIds'], ids)}")
        passes = passes and (where is None or where[1] < MOST_OFF)
    sys.exit(0 if passes else 1)


main()
