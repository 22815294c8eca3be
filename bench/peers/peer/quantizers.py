"""Uniform fake quantizers with the straight-through estimator: identity gradient everywhere, scale detached."""

from dataclasses import dataclass

import torch


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, quantize):
        return quantize(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


@dataclass(frozen=True)
class Activation:
    """A dynamic quantizer of groups along the last axis; `group` 0 is the whole axis (per token)."""

    bits: int = 16
    symmetric: bool = False
    group: int = 0
    clip: float = 1.0
    include_zero: bool = True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.bits >= 16 else StraightThrough.apply(x, self.round)

    def round(self, x: torch.Tensor) -> torch.Tensor:
        codes, scale, zero = self.codes(x)
        return ((codes - zero) * scale).reshape(x.shape)

    def codes(self, x: torch.Tensor):
        """Codes [..., group], with scale and zero point (0 for symmetric grids)."""
        rows = x.reshape(-1, self.group or x.shape[-1])
        if self.symmetric:
            top = 2 ** (self.bits - 1) - 1
            absmax = rows.abs().amax(-1, keepdim=True) * self.clip
            scale = torch.where(absmax == 0, 1.0, absmax / top)
            return (rows / scale).round().clamp(-top - 1, top), scale, 0
        top = 2**self.bits - 1
        low, high = rows.amin(-1, keepdim=True), rows.amax(-1, keepdim=True)
        if self.include_zero:
            low, high = low.clamp(max=0), high.clamp(min=0)
        low, high = low * self.clip, high * self.clip
        empty = (low == 0) & (high == 0)
        low, high = torch.where(empty, -1.0, low), torch.where(empty, 1.0, high)
        scale = (high - low) / top
        zero = (-low / scale).round()
        return ((rows / scale).round() + zero).clamp(0, top), scale, zero


CLIP_RATIOS = [1 - i / 100 for i in range(80)]
ERROR_POWER = 2.4


@dataclass(frozen=True)
class Weight:
    """Symmetric round to nearest, one scale per output channel or per `group` inputs, with or without clip search."""

    bits: int = 16
    group: int = 0
    search: bool = False

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        return w if self.bits >= 16 else StraightThrough.apply(w, self.round)

    def round(self, w: torch.Tensor) -> torch.Tensor:
        codes, scale = self.codes(w)
        return (codes * scale).reshape(w.shape)

    def codes(self, w: torch.Tensor):
        rows = w.reshape(-1, self.group or w.shape[-1])
        top = 2 ** (self.bits - 1) - 1
        absmax = rows.abs().amax(1, keepdim=True).clamp(min=1e-5)
        scale = (self.best_ratio(rows, absmax, top) * absmax if self.search else absmax) / top
        return (rows / scale).round().clamp(-top - 1, top), scale

    @staticmethod
    def best_ratio(rows: torch.Tensor, absmax: torch.Tensor, top: int) -> torch.Tensor:
        """The first strict minimum over the ratios of sum |Q(w) - w|^2.4, per row."""
        best = torch.ones_like(absmax)
        least = torch.full_like(absmax, float("inf"))
        for ratio in CLIP_RATIOS:
            scale = ratio * absmax / top
            error = ((rows / scale).round_().clamp_(-top - 1, top).mul_(scale).sub_(rows))
            error = error.abs_().pow_(ERROR_POWER).sum(1, keepdim=True)
            better = error < least
            best = torch.where(better, ratio, best)
            least = torch.where(better, error, least)
        return best


@dataclass(frozen=True)
class Quantizers:
    weight: Weight = Weight()
    token: Activation = Activation()
    """Inputs of q, k, v, gate, up and down."""
    output: Activation = Activation()
    """Input of o."""
    key: Activation = Activation()
    value: Activation = Activation()
    """Both per head; keys after RoPE and R3."""


def place(
    head_dim: int,
    w: int,
    a: int,
    k: int,
    v: int,
    search: bool = False,
    output_per_head: bool = True,
    zero_in_token: bool = True,
    zero_in_key: bool = True,
    zero_in_groups: bool = False,
) -> Quantizers:
    """SpinQuant's placement: whole tokens with 0 in the range; o's input, values and keys per head, 0 forced in for keys only."""
    return Quantizers(
        weight=Weight(w, search=search),
        token=Activation(a, include_zero=zero_in_token),
        output=Activation(a, group=head_dim if output_per_head else 0,
                          include_zero=zero_in_groups if output_per_head else zero_in_token),
        key=Activation(k, group=head_dim, include_zero=zero_in_key),
        value=Activation(v, group=head_dim, include_zero=zero_in_groups),
    )
