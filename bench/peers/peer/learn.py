"""Cayley SGD on R1 and R2 with the quantized network's cross-entropy."""

import math
import random
import time
from dataclasses import dataclass

import torch

from .llama import Llama, Rotations, loss
from .quantizers import Quantizers


@torch.no_grad()
def cayley_step(p: torch.Tensor, gradient: torch.Tensor, rate: float, rng: random.Random | None) -> torch.Tensor:
    """One descent step on the Stiefel manifold; `rng` decides about the occasional QR (1 in 101), None for never."""
    u = p / (p.norm(dim=1, keepdim=True) + 1e-8)
    if rng is not None and rng.randint(1, 101) == 1:
        q, r = torch.linalg.qr(u.T)
        u = (q * torch.sign(torch.diagonal(r))).T
    v = -gradient.T
    vu = v @ u
    w = vu - 0.5 * u.T @ (u @ vu)
    w = w - w.T
    alpha = min(1 / (w.abs().sum(0).max().item() + 1e-8), rate)
    x = u.T
    y = x + alpha * v
    for _ in range(5):
        y = x + alpha / 2 * (w @ (x + y))
    return y.T.contiguous()


@dataclass
class Learner:
    model: Llama
    rotations: Rotations
    quantizers: Quantizers
    blocks: torch.Tensor
    steps: int = 100
    rate: float = 1.5
    batch: int = 8
    clip: float = 1.0
    seed: int = 42
    recompute: bool = False
    """Gradient checkpointing, which the reference has on."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.parameters = [torch.nn.Parameter(r.float().clone()) for r in [self.rotations.r1, *self.rotations.r2]]

    def state(self) -> Rotations:
        r1, *r2 = self.parameters
        return Rotations(r1, r2, self.rotations.r3, self.rotations.r4)

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        if self.recompute:
            return self.model.logits_recomputing(ids, self.state(), self.quantizers)
        return self.model.logits(ids, self.model.prepare(self.state(), self.quantizers), self.quantizers)

    def step(self, index: int) -> dict[str, float]:
        """Forward, backward, clip, Cayley; batches follow the text without shuffling and wrap around."""
        began, cpu = time.perf_counter(), time.process_time()
        rows = [(index * self.batch + i) % len(self.blocks) for i in range(self.batch)]
        ids = self.blocks[rows]
        value = loss(self.logits(ids), ids)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        rate = self.rate / 2 * (1 + math.cos(math.pi * index / self.steps))
        for p in self.parameters:
            p.data.copy_(cayley_step(p.data, p.grad, rate, self.rng))
            p.grad = None
        return {
            "loss": value.item(),
            "gradientNorm": norm.item(),
            "seconds": time.perf_counter() - began,
            "cpuSeconds": time.process_time() - cpu,
        }

    @torch.no_grad()
    def polished(self) -> Rotations:
        """The nearest orthogonal matrices, U V^T of the singular value decomposition in float64."""
        polar = []
        for p in self.parameters:
            u, _, vt = torch.linalg.svd(p.double())
            polar.append((u @ vt).float())
        return Rotations(polar[0], polar[1:], self.rotations.r3, self.rotations.r4)
