"""Seconds of a learning step and of evaluation at a real shape, in PyTorch: one JSON line.

    python sizes_step.py MODEL_FOLDER MODE STEPS THREADS

MODE: `reference` rotates every weight in float64 in every forward pass and recomputes layers backward, as the
reference does; `float32` does what the product does: the network stays unrotated, every quantizer rotates its input by
R1 or R2 and back, all in float32, nothing is recomputed; `float32-w4` has 4-bit weights in the loop: every forward pass
rotates all weights in float32 and rounds their rows to nearest, straight through backward, activations stay in the
rotated basis, nothing is recomputed; `evaluate` measures perplexity on rotated W4A4KV4 weights that were prepared once.
Random token ids; 16-bit weights but for `float32-w4` and `evaluate`. 1 x 2048 tokens, A4KV4.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from peer.hadamard import transform
from peer.llama import Llama, Prepared, Rotations, loss
from peer.quantizers import Activation, Quantizers, Weight

TOKENS = 2048
MODES = ("reference", "float32", "float32-w4", "evaluate")


def quantizers_for(head: int, weight_bits: int) -> Quantizers:
    token, grouped = Activation(4), Activation(4, group=head, include_zero=False)
    key = Activation(4, group=head)
    return Quantizers(weight=Weight(weight_bits), token=token, key=key, value=grouped, output=grouped)


class RotateBack(torch.autograd.Function):
    """rounded @ r.T where rounded = Q(x r) moves as x r does and r is orthogonal: dx is the gradient itself."""

    @staticmethod
    def forward(ctx, x, rounded, r):
        ctx.save_for_backward(x, rounded, r)
        return rounded @ r.T

    @staticmethod
    def backward(ctx, g):
        x, rounded, r = ctx.saved_tensors
        rows = lambda y: y.reshape(-1, y.shape[-1])
        return g, None, (rows(x).T @ rows(g)) @ r + rows(g).T @ rows(rounded)


class Unrotated(Llama):
    """The network in its own basis; only quantizers see rotated activations."""

    def read(self, x: torch.Tensor, r1: torch.Tensor, quantizer: Activation) -> torch.Tensor:
        return RotateBack.apply(x, quantizer(x.detach() @ r1.detach()).detach(), r1)

    def heads(self, x: torch.Tensor, r2: torch.Tensor) -> torch.Tensor:
        return (x.reshape(-1, self.config.head_dim) @ r2).reshape(x.shape)

    def layer(self, index: int, x, rotations: Rotations, q: Quantizers, position) -> torch.Tensor:
        c, w, r1, r2 = self.config, self.layers[index].w, rotations.r1, rotations.r2[index]
        batch, length, _ = x.shape
        normed = self.read(self.norm(x, 1.0), r1, q.token)
        split = lambda y: y.reshape(batch, length, -1, c.head_dim).transpose(1, 2)
        queries = transform(self.rope(split(normed @ w["q"].T), position))
        keys = q.key(transform(self.rope(split(normed @ w["k"].T), position)))
        values = split(q.value(self.heads(normed @ w["v"].T, r2)))
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
        mixed = q.output(mixed.transpose(1, 2).reshape(batch, length, -1))
        x = x + self.heads(mixed, r2.T) @ w["o"].T
        normed = self.read(self.norm(x, 1.0), r1, q.token)
        product = transform(F.silu(normed @ w["gate"].T) * (normed @ w["up"].T))
        return x + q.token(product) @ w["down"].T

    def loss_of(self, ids: torch.Tensor, rotations: Rotations, q: Quantizers) -> torch.Tensor:
        x, position = self.embedding[ids], self.positions(ids.shape[1])
        for index in range(self.config.layers):
            x = self.layer(index, x, rotations, q, position)
        return loss((self.norm(x, 1.0) * self.final_gain) @ self.head.T, ids)


def orthogonal(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0].float()


def main() -> None:
    folder, mode, steps, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    if mode not in MODES:
        raise SystemExit(f"MODE is {mode}; it must be one of {', '.join(MODES)}")
    wide = torch.float32 if mode == "float32-w4" else torch.float64
    model = (Unrotated if mode == "float32" else Llama)(folder, rotate_in=wide)
    config = model.config
    generator = torch.Generator().manual_seed(0)
    r1 = orthogonal(config.hidden, generator).requires_grad_(mode != "evaluate")
    r2 = [orthogonal(config.head_dim, generator).requires_grad_(mode != "evaluate") for _ in range(config.layers)]
    rotations = Rotations(r1, r2, True, True)
    model.merge_r4()
    q = quantizers_for(config.head_dim, 4 if mode in ("evaluate", "float32-w4") else 16)
    vocabulary = model.embedding.shape[0]
    weights = None
    if mode == "evaluate":
        with torch.no_grad():
            weights = model.prepare(rotations, q)
    seconds, cpu = [], []
    for _ in range(steps):
        ids = torch.randint(vocabulary, (1, TOKENS), generator=generator)
        began, cpu_began = time.perf_counter(), time.process_time()
        run(model, mode, ids, rotations, q, weights)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpuSeconds": cpu, "peakBytes": peak, "torch": torch.__version__}))


def run(model: Llama, mode: str, ids: torch.Tensor, rotations: Rotations, q: Quantizers, weights: Prepared | None) -> None:
    if mode == "evaluate":
        with torch.no_grad():
            loss(model.logits(ids, weights, q), ids).item()
        return
    for matrix in [rotations.r1, *rotations.r2]:
        matrix.grad = None
    if mode == "float32":
        model.loss_of(ids, rotations, q).backward()
    elif mode == "float32-w4":
        loss(model.logits(ids, model.prepare(rotations, q), q), ids).backward()
    else:
        loss(model.logits_recomputing(ids, rotations, q), ids).backward()


main()
