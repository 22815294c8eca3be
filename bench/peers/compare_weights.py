#!/usr/bin/env python3
"""What rotations do about 4-bit weights: rounded to nearest (clip search) or by GPTQ, and layer by layer or jointly.

Usage: compare_weights.py MODEL_FOLDER CALIBRATION_TEXT TEST_TEXT TABLES ROTATIONS...

TABLES is a file of dump.ts with the Hadamard tables not made here. ROTATIONS are files of rotations, each measured
alike and recorded beside those of earlier calls: perplexity at W4A4KV4 by either rounding over 12 windows of the test
text; on the first of them, with weights alone rounded to nearest, the divergence KL(full precision || rounded) of
rounding all layers, and the sum over layers of rounding that layer alone. Where the sum is far from the divergence of
all, errors of layers add up or cancel.
"""

import sys
from pathlib import Path

import torch

import spinquant_torch as peer
from peer import data, gptq, product
from peer.llama import Llama, Prepared, Rotations, perplexity
from peer.quantizers import Quantizers, Weight, place

LENGTH, WINDOWS, CALIBRATION = 2048, 12, 8


def log_probabilities(model: Llama, weights: Prepared, x: torch.Tensor, first: int, kept: list | None = None):
    for index in range(first, model.config.layers):
        if kept is not None:
            kept.append(x)
        x = model.run_layer(index, x, weights.layers[index], weights, Quantizers(), None)
    return torch.log_softmax((model.norm_head(x, weights) @ model.head.T)[0], -1)


@torch.no_grad()
def divergences(model: Llama, exact: Prepared, rounded: Prepared, window: torch.Tensor) -> dict:
    """Nats per token, on one window [S]."""
    kept: list[torch.Tensor] = []
    start = model.times_r1(model.embedding[window[None]], exact.r1, back=False)
    base = log_probabilities(model, exact, start, 0, kept)
    divergence = lambda lp: (base.exp() * (base - lp)).sum(-1).mean().item()

    def alone(index: int) -> float:
        layers = [*exact.layers[:index], rounded.layers[index], *exact.layers[index + 1 :]]
        mixed = Prepared(layers, exact.r1, exact.r3, exact.r4)
        return divergence(log_probabilities(model, mixed, kept[index], index))

    return {
        "joint": divergence(log_probabilities(model, rounded, start, 0)),
        "sumOfLayersAlone": sum(alone(index) for index in range(model.config.layers)),
    }


@torch.no_grad()
def case(model: Llama, rotations: Rotations, calibration: torch.Tensor, test: torch.Tensor) -> dict:
    search = Weight(4, search=True)
    prepared = {
        "nearest": model.prepare(rotations, Quantizers(weight=search)),
        "gptq": gptq.prepare(model, calibration, rotations, search),
        "none": model.prepare(rotations, Quantizers()),
    }
    activations = place(model.config.head_dim, 16, 4, 4, 4)
    found = {name: perplexity(model, test, rotations, activations, weights) for name, weights in prepared.items()}
    return found | {"divergence": divergences(model, prepared["none"], prepared["nearest"], test[0])}


def main() -> None:
    folder, calibration, test, tables, *files = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    peer.add_tables(data.load_file(tables))
    model = Llama(folder, rotate_in=torch.float32)
    blocks = [data.windows(folder, text, LENGTH) for text in (calibration, test)]
    found = product.recorded().get("weights", {}).get(folder.name, {})
    for file in files:
        r1, r2 = data.read_rotations(file, model.config.layers)
        found[file.stem] = case(model, Rotations(r1, r2, True, True), blocks[0][:CALIBRATION], blocks[1][:WINDOWS])
        product.record("weights", {folder.name: found})


if __name__ == "__main__":
    main()
