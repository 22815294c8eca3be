"""One batch against the product: loss, gradients of the rotations, logits, and how many codes differ by precision."""

from dataclasses import dataclass, field, replace

import torch

from .llama import LINEARS, Llama, Prepared, Rotations, loss
from .quantizers import Activation, Quantizers, StraightThrough


@dataclass
class Pass:
    """What a forward and backward pass leaves behind."""

    loss: float
    gradients: list[torch.Tensor]
    """Of R1, then of R2 of every layer; float64."""
    weight_codes: list[torch.Tensor] = field(default_factory=list)
    activation_codes: list[torch.Tensor] = field(default_factory=list)


def rotations_like(given: list[torch.Tensor], dtype, r3: bool, r4: bool, track: bool) -> tuple[Rotations, list]:
    parameters = [r.to(dtype).clone().requires_grad_(track) for r in given]
    return Rotations(parameters[0], parameters[1:], r3, r4), parameters


def with_their_weights(prepared: Prepared, dump: dict) -> Prepared:
    """The dump's rounded weights in place of ours, straight through: what remains to differ are activations."""
    layers = [
        {n: StraightThrough.apply(w, lambda w, n=n: dump[f"prepared.{i}.{n}"].to(w.dtype)) for n, w in layer.items()}
        for i, layer in enumerate(prepared.layers)
    ]
    return replace(prepared, layers=layers)


def run(model: Llama, dump: dict, given: list[torch.Tensor], quantizers: Quantizers, r3: bool, r4: bool) -> Pass:
    rotations, parameters = rotations_like(given, model.dtype, r3, r4, track=True)
    seen: list[torch.Tensor] = []

    def watch(_layer: int, _site: str, quantizer: Activation, x: torch.Tensor) -> None:
        if quantizer.bits < 16:
            seen.append(quantizer.codes(x.detach())[0].to(torch.int8).flatten())

    ids = dump["ids"]
    weights = model.prepare(rotations, quantizers)
    if "prepared.0.q" in dump:
        weights = with_their_weights(weights, dump)
    value = loss(model.logits(ids, weights, quantizers, watch), ids)
    value.backward()
    result = Pass(value.item(), [p.grad.double() for p in parameters], activation_codes=seen)
    if quantizers.weight.bits < 16:
        result.weight_codes = weight_codes(model, rotations, quantizers)
    return result


@torch.no_grad()
def weight_codes(model: Llama, rotations: Rotations, quantizers: Quantizers) -> list[torch.Tensor]:
    found = []
    for layer, r2 in zip(model.layers, rotations.r2):
        for name in LINEARS:
            rotated = model.rotate(name, layer.w[name], rotations.r1, r2)
            found.append(quantizers.weight.codes(rotated)[0].to(torch.int8).flatten())
    return found


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def tangent(gradient: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """The part that moves a rotation: skew(R^T G). The rest depends on how the loss continues off the manifold."""
    a = rotation.double().T @ gradient
    return (a - a.T) / 2


def norms(p: Pass, given: list[torch.Tensor]) -> dict:
    """Global norms over R1 and all R2: of the gradient, which clipping sees, and of its tangent part, which moves."""
    total = lambda matrices: sum(m.pow(2).sum() for m in matrices).sqrt().item()
    return {"gradient": total(p.gradients), "tangent": total([tangent(g, r) for g, r in zip(p.gradients, given)])}


def compare(a: Pass, b: Pass, given: list[torch.Tensor]) -> dict:
    """Relative Frobenius distances ||a - b|| / ||b||."""
    flat = lambda gradients: torch.cat([g.flatten() for g in gradients])
    tangents = lambda p: [tangent(g, r) for g, r in zip(p.gradients, given)]
    found = {
        "loss": abs(a.loss - b.loss) / b.loss,
        "R1": relative(a.gradients[0], b.gradients[0]),
        "R2": relative(flat(a.gradients[1:]), flat(b.gradients[1:])),
        "tangentR1": relative(tangents(a)[0], tangents(b)[0]),
        "tangentR2": relative(flat(tangents(a)[1:]), flat(tangents(b)[1:])),
    }
    if a.activation_codes and b.activation_codes:
        found["activationFlips"] = flips(a.activation_codes, b.activation_codes)
    if a.weight_codes and b.weight_codes:
        found["weightFlips"] = flips(a.weight_codes, b.weight_codes)
    return found


def flips(a: list[torch.Tensor], b: list[torch.Tensor]) -> dict:
    different = sum((x != y).sum().item() for x, y in zip(a, b))
    return {"codes": sum(x.numel() for x in a), "different": different}


@torch.no_grad()
def compare_weights(model: Llama, dump: dict, given: list[torch.Tensor], quantizers: Quantizers, r4: bool) -> dict:
    """The dump's rounded weights against ours: how many lie on another grid point, and how far the rest is off."""
    rotations, _ = rotations_like(given, model.dtype, False, r4, track=False)
    values, other, gap = 0, 0, 0.0
    for index, layer in enumerate(model.prepare(rotations, quantizers).layers):
        for name, w in layer.items():
            difference = (dump[f"prepared.{index}.{name}"].double() - w.double()).abs() / w.abs().max()
            # A step of the grid is at least 1/2^(bits-1) of a row's largest value; rows differ by less than 100.
            moved = difference > 1e-4
            values, other = values + w.numel(), other + moved.sum().item()
            gap = max(gap, difference[~moved].max().item())
    return {"values": values, "onAnotherGridPoint": other, "largestOtherDifference": gap}


@torch.no_grad()
def compare_logits(model: Llama, dump: dict, given: list[torch.Tensor], quantizers: Quantizers, r3: bool, r4: bool) -> dict:
    """max |ours - theirs| and its share of max |theirs|, for the logits that the dump holds."""
    rotations, _ = rotations_like(given, model.dtype, r3, r4, track=False)
    rotated = lambda q: (model.prepare(rotations, q), q)
    settings = {"rotated": Quantizers(), "quantized": quantizers}
    found = {}
    for name, chosen in settings.items():
        if f"logits.{name}" not in dump:
            continue
        weights, q = rotated(chosen)
        theirs = model.logits(dump["ids"][:1], weights, q)[0].double()
        gap = (dump[f"logits.{name}"].double() - theirs).abs()
        found[name] = {"maximum": gap.max().item(), "rms": gap.pow(2).mean().sqrt().item(), "scale": theirs.abs().max().item()}
    return found
