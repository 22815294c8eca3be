#!/usr/bin/env python3
"""Unrotated round-to-nearest under every reading of the method, each with ten perturbations of the weights by 1e-7.

Usage: compare_baselines.py TEXT WORK_FOLDER MODEL_FOLDER...
"""

import statistics
import sys
from pathlib import Path

import torch

import spinquant_torch as peer
from peer import product

SETTINGS = {"W4A16": [4, 16, 16, 16], "W4A4": [4, 4, 16, 16], "W4A4KV4": [4, 4, 4, 4]}
VARIANTS = {
    "as specified": [],
    "computed in float64": ["--float64"],
    "o-input per token": ["--output-per-token"],
    "gains not folded": ["--keep-gains"],
    "o-input per token, gains not folded": ["--output-per-token", "--keep-gains"],
    "0 in the range of groups too": ["--zero-in-groups"],
    "0 not forced in for keys": ["--zero-free-keys"],
    "0 not forced in for tokens": ["--zero-free-tokens"],
}
DRAWS = 10
NOISE = 1e-7


def ours(model: Path, text: Path, work: Path, bits: list[int]) -> dict:
    """The product's perplexity with both kinds of operators."""
    file = product.experiment(work / "baseline.spinquant.json", model, bits, test=text, online=False)
    kinds = ("native", "composed")
    return {k: product.spinquant("evaluate", file, "--kernels", k)["perplexity"][0]["quantized"] for k in kinds}


def spread(model: Path, text: Path, bits: list[int], flags: list[str]) -> dict:
    line = ["evaluate", str(model), "--test", str(text), "--bits", *map(str, bits), "--noise", str(NOISE), *flags]
    args = peer.parse(line)
    drawn = [peer.measure(args, noise_seed=seed + 1) for seed in range(DRAWS)]
    return {
        "perplexity": peer.measure(args),
        "perturbed": {
            "least": min(drawn),
            "median": statistics.median(drawn),
            "most": max(drawn),
            "standardDeviation": statistics.stdev(drawn),
        },
    }


def main() -> None:
    text, work, *models = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    found: dict = {}
    for model in models:
        for name, bits in SETTINGS.items():
            rows: dict = {"product": ours(model, text, work, bits)}
            for variant, flags in VARIANTS.items():
                rows[variant] = spread(model, text, bits, flags)
                print(model, name, variant, file=sys.stderr, flush=True)
            found.setdefault(model.name, {})[name] = rows
    product.record("baselines", found)


if __name__ == "__main__":
    main()
