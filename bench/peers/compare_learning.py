#!/usr/bin/env python3
"""A hundred steps of learning, here and in the product, from the same starting rotations and on the same split.

Usage: compare_learning.py TEXT WORK_FOLDER MODEL_FOLDER [SEED...]

TEXT is stories separated by blank lines: the first 85 % calibrate, the rest test. 8 x 256 tokens a step, W4A4KV4 with
rounded weights in the loop, no clip search, learning rate 1.5 falling as a cosine, gradient norm clipped to 1.
"""

import sys
from pathlib import Path

import torch

import spinquant_torch as peer
from peer import product
from peer.llama import Rotations
from peer.quantizers import Quantizers

BITS = [4, 4, 4, 4]
SHARE = 0.85


def split(text: Path, work: Path) -> tuple[Path, Path]:
    stories = text.read_text(encoding="utf-8").strip().split("\n\n")
    count = round(SHARE * len(stories))
    parts = work / "calibration.txt", work / "test.txt"
    for path, some in zip(parts, (stories[:count], stories[count:])):
        path.write_text("\n\n".join(some) + "\n", encoding="utf-8")
    return parts


def losses_of(run: str) -> list[float]:
    lines = (Path(run) / "events.jsonl").read_text().splitlines()
    events = [product.json.loads(line) for line in lines]
    return [event["loss"] for event in events if event["type"] == "step"]


def quantized(line: list[str], rotations: object) -> float:
    return peer.measure(peer.parse(["evaluate", *line, "--rotations", str(rotations)]))


def one_seed(model: Path, calibration: Path, test: Path, work: Path, seed: int) -> dict:
    setting = dict(test=test, calibration=calibration, rotation="learned", seed=seed)
    file = product.experiment(work / f"learn{seed}.spinquant.json", model, BITS, **setting)
    start = product.dump(file, work / f"start{seed}.safetensors", "--sequences", "1", "--no-logits")
    peer.add_tables(peer.data.load_file(start))
    ours = product.spinquant("optimize", file)
    learned = work / f"torch{seed}.safetensors"
    arguments = ["learn", str(model), "--calibration", str(calibration), "--rotations", str(start)]
    theirs = peer.learn(peer.parse([*arguments, "--out", str(learned)]))
    line = [str(model), "--test", str(test)]
    file_of_ours = f"{ours['run']}/rotations.safetensors"
    return {
        "start": quantized(line, start),
        "product": {"loss": losses_of(ours["run"]), "learned": ours["perplexity"][0]["quantized"]},
        "torch": {"loss": theirs["loss"], "learned": quantized(line, learned)},
        "learnedByProductMeasuredByTorch": quantized(line, file_of_ours),
        "learnedByTorchMeasuredByProduct": product.spinquant("evaluate", file, "--rotations", learned)["perplexity"][0][
            "quantized"
        ],
    }


def main() -> None:
    text, work, model = map(Path, sys.argv[1:4])
    # One thread: two wait for each other wherever other programs take the cores.
    torch.set_num_threads(1)
    calibration, test = split(text, work)
    line = [str(model), "--test", str(test)]
    args = peer.parse(["evaluate", *line])
    blocks = peer.data.windows(model, test, args.length)
    found: dict = {
        "windows": len(blocks),
        "fullPrecision": peer.perplexity(peer.model_of(args), blocks, Rotations(), Quantizers()),
        "noRotation": quantized(line, "none"),
        "randomHadamardByTorch": [peer.measure(peer.parse(["evaluate", *line, "--rotations", "hadamard", "--seed", str(s)])) for s in range(4)],
        "seeds": {},
    }
    for seed in map(int, sys.argv[4:] or ["0"]):
        found["seeds"][seed] = one_seed(model, calibration, test, work, seed)
        print("seed", seed, file=sys.stderr, flush=True)
    product.record("learning", {model.name: found})


if __name__ == "__main__":
    main()
