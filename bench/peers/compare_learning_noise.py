#!/usr/bin/env python3
"""How far results of learning scatter: several starts, each learned twice by either program with other rounding errors.

Usage: compare_learning_noise.py TEXT WORK_FOLDER MODEL_FOLDER [SEED...]

As compare_learning.py, but with 70 steps, so that the calibration text is not used up (the programs order a second
pass differently) and both see the same batches. The replicates differ in rounding only: native against composed
operators, weights rotated in float64 against float32. All results are measured by one program, this one.
"""

import sys
from pathlib import Path

import torch

import compare_learning as learning
import spinquant_torch as peer
from peer import product

STEPS = 70


def one_seed(model: Path, calibration: Path, test: Path, work: Path, seed: int) -> dict:
    setting = dict(test=test, calibration=calibration, rotation="learned", seed=seed)
    file = product.experiment(
        work / f"noise{seed}.spinquant.json", model, learning.BITS, learning={"steps": STEPS}, **setting
    )
    start = product.dump(file, work / f"noise{seed}.safetensors", "--sequences", "1", "--no-logits")
    peer.add_tables(peer.data.load_file(start))
    line = [str(model), "--test", str(test)]
    found: dict = {"start": learning.quantized(line, start)}
    for kernels in ("native", "composed"):
        run = product.spinquant("optimize", file, "--kernels", kernels)["run"]
        found[f"product, {kernels}"] = learning.quantized(line, f"{run}/rotations.safetensors")
    arguments = ["learn", str(model), "--calibration", str(calibration), "--rotations", str(start), "--steps", str(STEPS)]
    for name, flags in {"float64 rotation": [], "float32": ["--fast"]}.items():
        out = work / "noise-learned.safetensors"
        peer.learn(peer.parse([*arguments, "--out", str(out), *flags]))
        found[f"torch, {name}"] = learning.quantized(line, out)
    return found


def main() -> None:
    text, work, model = map(Path, sys.argv[1:4])
    torch.set_num_threads(1)
    calibration, test = learning.split(text, work)
    found = {}
    for seed in map(int, sys.argv[4:] or ["0"]):
        found[seed] = one_seed(model, calibration, test, work, seed)
        print("seed", seed, found[seed], file=sys.stderr, flush=True)
    product.record("learningNoise", {model.name: found})


if __name__ == "__main__":
    main()
