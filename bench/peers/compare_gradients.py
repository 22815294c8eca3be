#!/usr/bin/env python3
"""Gradients of the product against float64: unquantized, rounded at 16-bit activations, and fully quantized.

Usage: compare_gradients.py MODEL_FOLDER CALIBRATION_TEXT WORK_FOLDER

A quantizer is a staircase: a value within rounding error of a step's edge lands on different sides in two programs
(a flip), and at 4 bits one flip in an early layer moves a large part of all later codes. So agreement is shown where
there is no flip: without quantizers, and on single sequences of five tokens, with the product's rounded weights.
"""

import sys
from pathlib import Path

import torch

import spinquant_torch as peer
from peer import product

SHORT = ["0", "3", "6", "9", "20", "21", "22", "23"]
"""Sequences of five tokens."""


def case(model: Path, text: Path, work: Path, bits: list[int], options: list[str], **settings) -> dict:
    learned = {"weightBits": bits[0]}
    file = product.experiment(
        work / "gradient.spinquant.json", model, bits, calibration=text, rotation="learned", learning=learned, **settings
    )
    out = product.dump(file, work / "gradient.safetensors", *options)
    flags = ["--weight-clip"] if settings.get("weight_clip") else []
    return peer.gradient(peer.parse(["gradient", str(model), "--ours", str(out), "--bits", *map(str, bits), *flags]))


def main() -> None:
    model, text, work = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    one = lambda bits, *options, **settings: case(model, text, work, bits, list(options), **settings)
    # The cheap form for 16-bit weights continues the loss differently off the manifold: compare its tangent part.
    whole, short = ["--sequences", "8"], ["--sequences", "1", "--prepared", "--no-logits"]
    found = {
        "W16A16KV16, native operators": one([16] * 4, *whole, "--unquantized"),
        "W16A16KV16, composed operators": one([16] * 4, *whole, "--unquantized", "--kernels", "composed"),
        "W4A16KV16": one([4, 16, 16, 16], *whole, "--prepared"),
        "W4A16KV16, clip search": one([4, 16, 16, 16], *whole, "--prepared", weight_clip=True),
        "W4A4KV4": one([4] * 4, *whole),
        "W16A4KV4 (unrotated form)": one([16, 4, 4, 4], *whole),
        "W4A4KV4, five tokens": [one([4] * 4, *short, "--from", s, length=5) for s in SHORT],
        "W16A4KV4 (unrotated form), five tokens": [
            one([16, 4, 4, 4], "--sequences", "1", "--no-logits", "--from", s, length=5) for s in SHORT
        ],
    }
    product.record("gradients", {model.name: found})


if __name__ == "__main__":
    main()
