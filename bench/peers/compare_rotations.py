#!/usr/bin/env python3
"""Perplexity of rotated and quantized networks for the product's own rotations, here and there.

Usage: compare_rotations.py TEXT WORK_FOLDER MODEL_FOLDER...
"""

import statistics
import sys
from pathlib import Path

import torch

import spinquant_torch as peer
from peer import product

SETTINGS = {"W16A16KV16": [16] * 4, "W8A8KV8": [8] * 4, "W4A16KV16": [4, 16, 16, 16], "W4A4KV4": [4] * 4}
STARTS = [("hadamard", 0), ("hadamard", 1), ("random", 0)]
DRAWS = 5


def case(model: Path, text: Path, work: Path, bits: list[int], kind: str, seed: int) -> dict:
    file = product.experiment(
        work / "given.spinquant.json", model, bits, test=text, calibration=text, rotation=kind, seed=seed
    )
    out = product.dump(file, work / "given.safetensors", "--sequences", "1", "--no-logits")
    rotated = ["--rotations", str(out), "--tables", str(out)]
    noisy = ["--noise", "1e-7", "--noise-draws", str(DRAWS)]
    line = ["evaluate", str(model), "--test", str(text), "--bits", *map(str, bits), *rotated]
    args = peer.parse([*line, *noisy])
    peer.add_tables(peer.data.load_file(out))
    theirs = {"reference": peer.measure(args), "float64": peer.measure(peer.parse([*line, "--float64"]))}
    drawn = [peer.measure(args, noise_seed=s + 1) for s in range(DRAWS)] if min(bits) < 16 else []
    ours = {k: product.spinquant("evaluate", file, "--kernels", k)["perplexity"][0] for k in ("native", "composed")}
    found = {"ours": {k: r["quantized"] for k, r in ours.items()}, "torch": theirs}
    if drawn:
        found["torchPerturbed"] = {
            "least": min(drawn), "most": max(drawn), "standardDeviation": statistics.stdev(drawn)
        }
    return found


def main() -> None:
    text, work, *models = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    found: dict = {}
    for model in models:
        for name, bits in SETTINGS.items():
            for kind, seed in STARTS:
                key = f"{kind} {seed}"
                found.setdefault(model.name, {}).setdefault(name, {})[key] = case(model, text, work, bits, kind, seed)
                print(model.name, name, key, file=sys.stderr, flush=True)
    product.record("rotations", found)


if __name__ == "__main__":
    main()
