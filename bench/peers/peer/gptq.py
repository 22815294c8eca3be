"""GPTQ: every rounding error of a weight is compensated with the weights of its row that are still to be rounded."""

from collections.abc import Callable

import torch

from .llama import Llama, Prepared, Rotations
from .quantizers import Quantizers, Weight

DAMPING = 0.01
BLOCK = 128
GROUPS = (("input", ("q", "k", "v")), ("output", ("o",)), ("mlp", ("gate", "up")), ("down", ("down",)))
"""Linears that share an input, in the order in which they are rounded, with the site that watches that input."""


def rounded(w: torch.Tensor, second_moment: torch.Tensor, quantizer: Weight) -> torch.Tensor:
    """w [out, in] on the quantizer's grid; second_moment E[x xᵀ] [in, in] of its inputs."""
    w, h = w.float().clone(), second_moment.clone()
    dead = h.diagonal() == 0
    h.diagonal()[dead] = 1
    w[:, dead] = 0
    h.diagonal().add_(DAMPING * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.linalg.inv(h.double()), upper=True).float()
    scale, top = quantizer.codes(w)[1], 2 ** (quantizer.bits - 1) - 1
    for start in range(0, w.shape[1], BLOCK):
        end = min(start + BLOCK, w.shape[1])
        errors = torch.zeros(w.shape[0], end - start)
        for j in range(start, end):
            q = (w[:, j : j + 1] / scale).round().clamp(-top - 1, top) * scale
            error = (w[:, j : j + 1] - q) / upper[j, j]
            w[:, j:end] -= error @ upper[j : j + 1, j:end]
            w[:, j : j + 1], errors[:, j - start : j - start + 1] = q, error
        w[:, end:] -= errors @ upper[start:end, end:]
    return w


@torch.no_grad()
def prepare(model: Llama, ids: torch.Tensor, rotations: Rotations, weight: Weight) -> Prepared:
    """Rotated weights of the whole network, rounded layer by layer on what the layers before hand on; ids [N, S].

    Activations are left as they are, as in the reference.
    """
    model.check_r4(rotations)
    plain = Quantizers()
    frame = Prepared([], rotations.r1, rotations.r3, rotations.r4)
    stream = [model.times_r1(model.embedding[row[None]], rotations.r1, back=False) for row in ids]
    for index in range(model.config.layers):
        w = model.prepare_layer(index, rotations, plain)
        for site, names in GROUPS:
            moment = second_moment(lambda watch: [model.run_layer(index, x, w, frame, plain, watch) for x in stream], site)
            w |= {name: rounded(w[name], moment, weight) for name in names}
        stream = [model.run_layer(index, x, w, frame, plain, None) for x in stream]
        frame.layers.append(w)
    return frame


def second_moment(run: Callable, site: str) -> torch.Tensor:
    """E[x xᵀ] of what the quantizer of a site reads while `run(watch)` passes all sequences through a layer."""
    total, count = 0, 0

    def watch(_layer, seen, _quantizer, x):
        nonlocal total, count
        if seen == site:
            rows = x.reshape(-1, x.shape[-1]).float()
            total, count = total + rows.T @ rows, count + len(rows)

    run(watch)
    return total / count
