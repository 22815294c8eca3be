#!/usr/bin/env python3
"""AWQ in PyTorch, written from the paper (Lin et al. 2023) and its published constants, in float64.

Prints a JSON document: for every layer of a small LLaMA the scales, the errors of all 20 candidates and the trials of
the clip search; for the last layer some codes. `tie` is the least distance of a quotient from a tie between two codes,
`margin` the least relative distance between the best trial and the next. `test/fixtures/awq-llama.json` is its output for `test/goldens/models/llama`:

  python bench/peers/awq_torch.py test/goldens/models/llama > test/fixtures/awq-llama.json
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.functional import silu

SETTINGS = {
    "symmetric-rows": {"bits": 4, "symmetric": True, "group": 0},
    "asymmetric-groups": {"bits": 4, "symmetric": False, "group": 16},
}
WINDOWS, SEQUENCE = 3, 12
HALVES = (("attention-norm", "value"), ("mlp-norm", "up-down"))


def windows(vocabulary: int) -> torch.Tensor:
    """Token ids that differ from window to window [windows, sequence]."""
    i = torch.arange(SEQUENCE)
    return torch.stack([(i * 7 + w * 5 + i * i) % vocabulary for w in range(WINDOWS)])


# ------------------------------------------------------------------------------------------------ quantizer


class Grid:
    """Rounds rows of w [rows, n], each group of inputs on its own grid, and notes how far from a tie each was."""

    def __init__(self, setting: dict, n: int):
        self.bits, self.symmetric = setting["bits"], setting["symmetric"]
        self.group = setting["group"] or n
        self.whole = self.group == n

    def split(self, w: torch.Tensor) -> torch.Tensor:
        return w.reshape(w.shape[0], -1, self.group)

    def round(self, w: torch.Tensor, nudge: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """Q(w), and codes from -2^(bits-1). A zero point half-way between two codes goes where `nudge` pushes it."""
        g = self.split(w)
        low, high = g.amin(-1, keepdim=True), g.amax(-1, keepdim=True)
        if self.whole:
            low, high = low.clamp(max=0), high.clamp(min=0)
        half = 2 ** (self.bits - 1)
        if self.symmetric:
            s = torch.maximum(low.abs(), high.abs()).clamp(min=1e-5) / (half - 1)
            z = torch.zeros_like(s)
            self.centred = z > 0
            codes = torch.round(g / s).clamp(-half, half - 1)
        else:
            s = (high - low) / (2 * half - 1)
            z = torch.round(-low / s + nudge) - half
            self.centred = ((-low / s) % 1 - 0.5).abs() < 1e-6
            codes = (torch.round(g / s) + z).clamp(-half, half - 1)
        self.distance = ((g / s) % 1 - 0.5).abs()
        return (s * (codes - z)).reshape(w.shape), codes.reshape(w.shape)


# ------------------------------------------------------------------------------------------------ network


class Llama:
    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = {name: t.double() for name, t in load_file(folder / "model.safetensors").items()}
        self.heads = self.config["num_attention_heads"]
        self.groups = self.config["num_key_value_heads"]
        self.width = self.config["head_dim"]
        self.layers = self.config["num_hidden_layers"]
        rope = self.config["rope_parameters"]
        inverse = rope["rope_theta"] ** (-torch.arange(0, self.width, 2).double() / self.width)
        angle = torch.arange(SEQUENCE).double()[:, None] * inverse
        self.cos, self.sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()

    def weight(self, layer: int, name: str) -> torch.Tensor:
        part = "self_attn" if name in "qkvo" else "mlp"
        return self.tensors[f"model.layers.{layer}.{part}.{name}_proj.weight"]

    def gain(self, layer: int, norm: str) -> torch.Tensor:
        name = "input_layernorm" if norm == "attention-norm" else "post_attention_layernorm"
        return self.tensors[f"model.layers.{layer}.{name}.weight"]

    def norm(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).sqrt() * gain

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return x * self.cos + torch.cat([-second, first], -1) * self.sin

    def mix(self, x: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Causal attention on normed rows x [windows, S, d]; mixed values [windows, S, heads * width]."""
        split = lambda rows: rows.reshape(WINDOWS, SEQUENCE, -1, self.width).transpose(1, 2)
        queries, keys, values = self.turn(split(x @ q.T)), self.turn(split(x @ k.T)), split(x @ v.T)
        repeats = self.heads // self.groups
        keys, values = (t.repeat_interleave(repeats, 1) for t in (keys, values))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(self.width)
        hidden = torch.ones(SEQUENCE, SEQUENCE).triu(1).bool()
        shares = scores.masked_fill(hidden, -math.inf).softmax(-1)
        return (shares @ values).transpose(1, 2).reshape(WINDOWS, SEQUENCE, -1)


# ------------------------------------------------------------------------------------------------ AWQ


def candidate(means: torch.Tensor, index: int) -> torch.Tensor:
    s = means.pow(index / 20).clamp(min=1e-4)
    return s / (s.max() * s.min()).sqrt()


def search(means: torch.Tensor, error) -> tuple[torch.Tensor, list[float]]:
    scales = [candidate(means, index) for index in range(20)]
    errors = [error(s) for s in scales]
    return scales[min(range(20), key=errors.__getitem__)], errors


class Awq:
    def __init__(self, net: Llama, setting: dict):
        self.net, self.setting = net, setting
        self.tie = self.margin = math.inf

    def rounded(self, w: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Q(W diag(s)) diag(1/s)."""
        return Grid(self.setting, w.shape[1]).round(w * s)[0] / s

    def half(self, layer: int, half: int, x: torch.Tensor) -> dict:
        """Scales of the two seams of half a layer, the inputs of its weights, and its output."""
        net, (norm, inner) = self.net, HALVES[half]
        names = ("q", "k", "v", "o") if half == 0 else ("gate", "up", "down")
        *behind, last = (net.weight(layer, name) for name in names)
        normed = net.norm(x, net.gain(layer, norm))
        body = (lambda ws: net.mix(normed, *ws)) if half == 0 else (lambda ws: silu(normed @ ws[0].T) * (normed @ ws[1].T))
        rows = body(behind)
        exact = rows @ last.T
        s_norm, norm_errors = search(
            normed.abs().mean((0, 1)),
            lambda s: (body([self.rounded(w, s) for w in behind]) @ last.T - exact).square().sum().item(),
        )
        means = rows.abs().mean((0, 1))
        repeats = net.heads // net.groups
        share = lambda s: s.reshape(net.groups, 1, net.width).expand(-1, repeats, -1).reshape(-1)
        if half == 1:
            share, repeats = (lambda s: s), 1
        else:
            means = means.reshape(net.groups, repeats, net.width).mean(1).reshape(-1)
        s_inner, inner_errors = search(
            means, lambda s: (rows @ self.rounded(last, share(s)).T - exact).square().sum().item()
        )
        scales, errors = {norm: s_norm, inner: s_inner}, {norm: norm_errors, inner: inner_errors}
        reads = {name: normed / s_norm for name in names[:-1]} | {names[-1]: rows / share(s_inner)}
        weights = {name: w * s_norm for name, w in zip(names, behind)} | {names[-1]: last * share(s_inner)}
        writer = "v" if half == 0 else "up"
        weights[writer] = weights[writer] / s_inner[:, None]
        return {"scales": scales, "errors": errors, "reads": reads, "weights": weights, "out": exact}

    def clip(self, name: str, w: torch.Tensor, x: torch.Tensor) -> tuple[str, str]:
        """The trial and the codes of each row and group; dots where a grid clipped at both ends leaves two choices."""
        grid = Grid(self.setting, w.shape[1])
        if name in ("q", "k"):
            codes = grid.round(w)[1]
            self.tie = min(self.tie, grid.distance.min().item())
            return "", self.text(grid.split(codes), torch.ones(grid.split(w).shape[:2]).bool())
        rows = x.reshape(-1, w.shape[1])
        largest = grid.split(w).abs().amax(-1, keepdim=True)
        clipped = lambda p: grid.split(w).clamp(-p * largest, p * largest).reshape(w.shape)

        def errors(nudge: float) -> torch.Tensor:
            found = []
            for index in range(10):
                e = grid.round(clipped(1 - index / 20), nudge)[0] - w
                shares = torch.einsum("rgj,tgj->rgt", grid.split(e), grid.split(rows))
                found.append(shares.square().sum(-1))
            return torch.stack(found)

        up, down = errors(1e-9), errors(-1e-9)
        best = up.argmin(0)
        at_best = torch.arange(10)[:, None, None] == best
        rivals = torch.minimum(up, down).masked_fill(at_best, math.inf).amin(0)
        own = torch.maximum(up, down).gather(0, best[None])[0]
        final = Grid(self.setting, w.shape[1])
        codes = final.round(clipped((1 - best / 20)[..., None]))[1]
        sure = (own < rivals) & ~final.centred.squeeze(-1)
        self.tie = min(self.tie, final.distance[sure].min().item())
        self.margin = min(self.margin, ((rivals - own) / rivals)[sure].min().item())
        trials = "".join(str(t) if ok else "." for t, ok in zip(best.flatten().tolist(), sure.flatten().tolist()))
        return trials, self.text(final.split(codes), sure)

    def text(self, codes: torch.Tensor, sure: torch.Tensor) -> str:
        """One hexadecimal digit for each code from -8."""
        shown = sure[..., None].expand(codes.shape).flatten().tolist()
        return "".join(f"{int(c) + 8:x}" if ok else "." for c, ok in zip(codes.flatten().tolist(), shown))

    def layers(self):
        net = self.net
        x = net.tensors["model.embed_tokens.weight"][windows(net.config["vocab_size"])]
        for layer in range(net.layers):
            scales, errors, trials, codes = {}, {}, {}, {}
            self.tie = self.margin = math.inf
            for half in (0, 1):
                found = self.half(layer, half, x)
                scales |= {name: [float(f"{v:.7g}") for v in s.tolist()] for name, s in found["scales"].items()}
                errors |= {name: [float(f"{e:.7g}") for e in some] for name, some in found["errors"].items()}
                for name, w in found["weights"].items():
                    trials[name], codes[name] = self.clip(name, w, found["reads"][name])
                x = x + found["out"]
            kept = {name: codes[name] for name in ("k", "v", "o", "down")} if layer == net.layers - 1 else {}
            yield {
                "scales": scales,
                "errors": errors,
                "trials": {name: some for name, some in trials.items() if some},
                "codes": kept,
                "tie": self.tie,
                "margin": self.margin,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="Hugging Face folder of a LLaMA without biases")
    net = Llama(parser.parse_args().model)
    found = {name: list(Awq(net, setting).layers()) for name, setting in SETTINGS.items()}
    print(json.dumps({"settings": SETTINGS, "layers": found}))


main()
