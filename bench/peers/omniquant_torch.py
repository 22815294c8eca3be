#!/usr/bin/env python3
"""OmniQuant on one small block in PyTorch, float64: losses and parameters for test/transform/omniquant.test.ts.

Written from the method's description alone. Roundings are taken straight through; an activation that is cut off at the
end of its range moves as the others do.

Usage: omniquant_torch.py test/fixtures/omniquant/golden.json
"""

import json
import sys

import torch

D, HEADS, H, F, TOKENS, SEQUENCES, EPOCHS = 8, 2, 4, 12, 6, 2, 3
EPS, THETA, ALPHA = 1e-5, 10000.0, 0.5
RATES = {"clips": 1e-2, "scales": 5e-3}
LINEARS = {"q": (D, D), "k": (D, D), "v": (D, D), "o": (D, D), "gate": (F, D), "up": (F, D), "down": (D, F)}
SETTINGS = {
    "W4A4KV4, symmetric rows": {"bits": 4, "symmetric": True, "group": 0, "activations": 4, "scales": True},
    "W4A4KV4, asymmetric groups": {"bits": 4, "symmetric": False, "group": 4, "activations": 4, "scales": True},
    "W3A16, asymmetric rows": {"bits": 3, "symmetric": False, "group": 0, "activations": 16, "scales": False},
}


class Straight(torch.autograd.Function):
    """Whole numbers exactly: the sum x + (round(x) - x) may miss them, and be cut off for it."""

    @staticmethod
    def forward(_context, x):
        return x.round()

    @staticmethod
    def backward(_context, gradient):
        return gradient


ste = Straight.apply


def cut(x, low, high):
    """As clamp, but an element at the end itself is not cut off: it has a derivative in every version of PyTorch."""
    return torch.where(x > high, high, torch.where(x < low, low, x))


def weight(w, upper, lower, setting):
    """Learnable weight clipping: upper and lower are logits [out, groups]."""
    rows = w.reshape(-1, setting["group"] or w.shape[1])
    hi, lo = rows.amax(1), rows.amin(1)
    if not setting["group"]:
        hi, lo = hi.clamp(min=0), lo.clamp(max=0)
    hi, lo = torch.sigmoid(upper).reshape(-1) * hi, torch.sigmoid(lower).reshape(-1) * lo
    if setting["symmetric"]:
        top = 2 ** (setting["bits"] - 1) - 1
        s = (torch.maximum(hi.abs(), lo.abs()) / top)[:, None]
        return (s * cut(ste(rows / s), -top - 1.0, float(top))).reshape(w.shape)
    top = 2 ** setting["bits"] - 1
    s = ((hi - lo) / top)[:, None]
    z = ste(-lo[:, None] / s)
    return (s * (cut(ste(rows / s) + z, 0.0, float(top)) - z)).reshape(w.shape)


def activation(x, bits, group=0, zero=True):
    """Dynamic, asymmetric; the derivative goes through the scale."""
    if bits >= 16:
        return x
    rows = x.reshape(-1, group or x.shape[-1])
    lo, hi = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    if zero:
        lo, hi = lo.clamp(max=0), hi.clamp(min=0)
    top = 2**bits - 1
    s = (hi - lo) / top
    z = (-lo / s).round()
    y = s * (((rows / s).round() + z).clamp(0, top) - z)
    return (rows + s * ((y - rows) / s).detach()).reshape(x.shape)


def norm(x):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS)


def rope(x):
    """x [S, heads, h], halves paired."""
    frequency = THETA ** (-torch.arange(0, H, 2, dtype=torch.float64) / H)
    angle = torch.arange(x.shape[0], dtype=torch.float64)[:, None, None] * frequency
    a, b = x[..., : H // 2], x[..., H // 2 :]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def block(x, w, bits, seen=None):
    """One sequence x [S, D]; the gains of the norms are in w."""
    seen = {} if seen is None else seen
    a = norm(x) * w["attentionScale"]
    seen["attention-norm"] = norm(x)
    a = activation(a, bits)
    heads = lambda y: y.reshape(-1, HEADS, H)
    q, k, v = rope(heads(a @ w["q"].T)), rope(heads(a @ w["k"].T)), heads(a @ w["v"].T)
    k, v = activation(k, bits, H), activation(v, bits, H, zero=False)
    scores = torch.einsum("shc,thc->hst", q, k) / H**0.5
    future = torch.ones(x.shape[0], x.shape[0]).triu(1).bool()
    mixed = torch.einsum("hst,thc->shc", scores.masked_fill(future, -torch.inf).softmax(-1), v).reshape(-1, HEADS * H)
    seen["value"] = mixed
    x = x + activation(mixed, bits, H, zero=False) @ w["o"].T
    m = norm(x) * w["mlpScale"]
    seen["mlp-norm"] = norm(x)
    m = activation(m, bits)
    product = torch.nn.functional.silu(m @ w["gate"].T) * (m @ w["up"].T)
    return x + activation(product, bits) @ w["down"].T


def folded(layer):
    ones = {"attentionScale": torch.ones(D, dtype=torch.float64), "mlpScale": torch.ones(D, dtype=torch.float64)}
    w = {name: layer[name].clone() for name in LINEARS}
    for name in ("q", "k", "v"):
        w[name] = w[name] * layer["inputNorm"]
    for name in ("gate", "up"):
        w[name] = w[name] * layer["postNorm"]
    return {**w, **ones}


def quantized(layer, p, setting):
    w = folded(layer)
    if setting["scales"]:
        a, m, v, pair = (p[name] for name in ("attention-norm", "mlp-norm", "value", "query-key"))
        w["attentionScale"], w["mlpScale"] = 1 / a, 1 / m
        for name in ("q", "k", "v"):
            w[name] = w[name] * a
        for name in ("gate", "up"):
            w[name] = w[name] * m
        w["v"], w["o"] = w["v"] / v[:, None], w["o"] * v
        both = torch.cat([pair, pair], 1).reshape(-1)[:, None]
        w["q"], w["k"] = w["q"] / both, w["k"] * both
    for name in LINEARS:
        w[name] = weight(w[name], p[f"{name}.upper"], p[f"{name}.lower"], setting)
    return w


def start(layer, sequences, setting):
    p = {}
    for name, (rows, columns) in LINEARS.items():
        groups = columns // setting["group"] if setting["group"] else 1
        p[f"{name}.upper"] = torch.full((rows, groups), 4.0, dtype=torch.float64)
        p[f"{name}.lower"] = torch.full((rows, groups), 4.0, dtype=torch.float64)
    if not setting["scales"]:
        return p
    w, largest = folded(layer), {}
    for x in sequences:
        seen = {}
        block(x, w, 16, seen)
        for seam, rows in seen.items():
            most = rows.abs().amax(0)
            largest[seam] = torch.maximum(largest.get(seam, most), most)
    readers = {"attention-norm": ("q", "k", "v"), "mlp-norm": ("gate", "up"), "value": ("o",)}
    for seam, names in readers.items():
        size = torch.cat([w[name] for name in names]).abs().amax(0).clamp(min=1e-5)
        p[seam] = (largest[seam] ** ALPHA / size ** (1 - ALPHA)).clamp(min=1e-2)
    p["query-key"] = torch.ones(HEADS, H // 2, dtype=torch.float64)
    return p


def flat(p):
    return torch.cat([value.detach().reshape(-1) for value in p.values()]).tolist()


def learn(layer, exact, rounded, setting):
    p = {name: value.requires_grad_() for name, value in start(layer, exact, setting).items()}
    scales = [value for name, value in p.items() if "." not in name]
    clips = [value for name, value in p.items() if "." in name]
    groups = [{"params": clips, "lr": RATES["clips"]}, {"params": scales, "lr": RATES["scales"]}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0)
    found = {"setting": setting, "start": flat(dict(list(p.items())[2 * len(LINEARS) :])) if setting["scales"] else [], "losses": []}
    plain = folded(layer)
    for epoch in range(EPOCHS):
        for x, y in zip(rounded, (block(x, plain, 16) for x in exact)):
            loss = ((block(x, quantized(layer, p, setting), setting["activations"]) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for value in scales:
                value.data = torch.where(value.abs() < 1e-2, torch.where(value < 0, -1e-2, 1e-2), value)
            found["losses"].append(loss.item())
            if len(found["losses"]) == 1:
                found["first"] = flat(p)
    found["last"] = flat(p)
    return found


def main():
    generator = torch.Generator().manual_seed(12)
    drawn = lambda *dims: (torch.randn(*dims, generator=generator, dtype=torch.float64) * 1000).round() / 1000
    layer = {name: drawn(*dims) * 0.5 for name, dims in LINEARS.items()}
    layer["inputNorm"], layer["postNorm"] = drawn(D).abs() + 0.5, drawn(D).abs() + 0.5
    exact = [drawn(TOKENS, D) for _ in range(SEQUENCES)]
    rounded = [x + drawn(TOKENS, D) / 10 for x in exact]
    golden = {
        "sizes": {"hiddenSize": D, "heads": HEADS, "headDim": H, "intermediateSize": F, "tokens": TOKENS},
        "alpha": ALPHA,
        "rates": RATES,
        "layer": {name: value.reshape(-1).tolist() for name, value in layer.items()},
        "exact": [x.reshape(-1).tolist() for x in exact],
        "rounded": [x.reshape(-1).tolist() for x in rounded],
        "learned": {name: learn(layer, exact, rounded, setting) for name, setting in SETTINGS.items()},
    }
    short = lambda value: [short(one) for one in value] if isinstance(value, list) else round(value, 9)
    tidy = lambda value: {k: tidy(v) for k, v in value.items()} if isinstance(value, dict) else (
        short(value) if isinstance(value, (list, float)) and not isinstance(value, bool) else value
    )
    with open(sys.argv[1], "w", encoding="utf8") as file:
        json.dump(tidy(golden), file)
        file.write("\n")


main()
