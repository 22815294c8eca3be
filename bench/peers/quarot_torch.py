"""QuaRot's rotated block at W4A4KV4, and GPTQ with its options, written from their papers' formulas in PyTorch.

Run with PyTorch: python bench/peers/quarot_torch.py test/fixtures. Everything is in double precision, and every rotation
is a dense matrix. Inputs come from a linear congruential generator, so that the fixtures hold results only.
"""
import json
import sys
from pathlib import Path

import torch

torch.set_default_dtype(torch.float64)


class Noise:
    """The numbers of test/helpers/tiny-network.ts: exact in double precision."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFFFF

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.state / 2**31 - 1) * 0.999

    def tensor(self, *dims, scale=1.0):
        count = 1
        for dim in dims:
            count *= dim
        # Inputs are float32 tensors there.
        values = torch.tensor([self.next() * scale for _ in range(count)]).float().double()
        return values.reshape(dims)


def sylvester(n):
    h = torch.ones(1, 1)
    while h.shape[0] < n:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0)
    return h


def signed_hadamard(n, noise):
    signs = torch.tensor([1.0 if noise.next() >= 0 else -1.0 for _ in range(n)])
    return signs[:, None] * sylvester(n) / n**0.5


MARGINS = []


def to_code(x):
    """Nearest whole number; notes how near to a half a quotient comes."""
    MARGINS.append((0.5 - (x - x.round()).abs()).min().item())
    return x.round()


def per_token(x, bits=4):
    """Asymmetric, per row, 0 inside the range."""
    low, high = x.amin(-1, keepdim=True).clamp(max=0), x.amax(-1, keepdim=True).clamp(min=0)
    return asymmetric(x, low, high, bits)


def per_group(x, size, bits=4, zero=False):
    """Asymmetric, per `size` values of the last axis, as they are or with 0 inside the range."""
    groups = x.reshape(*x.shape[:-1], -1, size)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    if zero:
        low, high = low.clamp(max=0), high.clamp(min=0)
    return asymmetric(groups, low, high, bits).reshape(x.shape)


def asymmetric(x, low, high, bits):
    top = 2**bits - 1
    scale = (high - low) / top
    zero = to_code(-low / scale)
    return scale * ((to_code(x / scale) + zero).clamp(0, top) - zero)


def per_channel(w, bits=4):
    top = 2 ** (bits - 1) - 1
    scale = w.abs().amax(1, keepdim=True) / top
    return scale * to_code(w / scale).clamp(-top - 1, top)


D, F, H, G, h, T = 16, 32, 4, 2, 4, 6
EPS, THETA = 1e-5, 10000.0


def block(seed=26):
    noise = Noise(seed)
    MARGINS.clear()
    gains = {name: 1 + noise.tensor(D, scale=0.6) for name in ["input", "post"]}
    gains = {name: gain.float().double() for name, gain in gains.items()}
    dims = {"q": (H * h, D), "k": (G * h, D), "v": (G * h, D), "o": (D, H * h)}
    dims |= {"gate": (F, D), "up": (F, D), "down": (D, F)}
    w = {name: noise.tensor(*shape, scale=0.6) for name, shape in dims.items()}
    x = noise.tensor(T, D)
    r1, r2 = signed_hadamard(D, noise), signed_hadamard(h, noise)
    r3, r4 = sylvester(h) / h**0.5, sylvester(F) / F**0.5
    heads = sylvester(H) / H**0.5
    full = torch.kron(heads, r2)
    online = torch.kron(heads, torch.eye(h))
    values = torch.block_diag(*[r2] * G)
    norm = lambda rows: rows / (rows.square().mean(-1, keepdim=True) + EPS).sqrt()
    merged = {name: per_channel(w[name] @ torch.diag(gains["input"]) @ r1) for name in ["q", "k"]}
    merged["v"] = per_channel(values.T @ w["v"] @ torch.diag(gains["input"]) @ r1)
    merged["o"] = per_channel(r1.T @ w["o"] @ full)
    merged |= {name: per_channel(w[name] @ torch.diag(gains["post"]) @ r1) for name in ["gate", "up"]}
    merged["down"] = per_channel(r1.T @ w["down"] @ r4)

    residual = x @ r1
    a = per_token(norm(residual))
    q, k = [rope((a @ merged[name].T).reshape(T, -1, h)) @ r3 for name in ["q", "k"]]
    k = per_group(k, h, zero=True)
    v = per_group(a @ merged["v"].T, h).reshape(T, G, h)
    mixed = []
    for head in range(H):
        scores = q[:, head] @ k[:, head // (H // G)].T / h**0.5
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
        mixed.append(scores.softmax(-1) @ v[:, head // (H // G)])
    attended = residual + per_token(torch.cat(mixed, 1) @ online) @ merged["o"].T
    b = per_token(norm(attended))
    product = torch.nn.functional.silu(b @ merged["gate"].T) * (b @ merged["up"].T)
    y = attended + per_token(product @ r4) @ merged["down"].T
    return {"y": (y @ r1.T).flatten().tolist(), "margin": min(MARGINS)}


def rope(x):
    angles = torch.arange(T)[:, None] / THETA ** (torch.arange(0, h, 2) / h)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x[..., : h // 2], x[..., h // 2 :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def gptq(w, moments, bits, group, damping=0.01, act_order=False, updated=False):
    """Frantar et al. 2023: the upper Cholesky factor of the inverse, columns one after the other, symmetric grids."""
    rows, n = w.shape
    top = 2 ** (bits - 1) - 1
    size = group or n
    order = torch.argsort(moments.diag(), descending=True, stable=True) if act_order else torch.arange(n)
    damped = moments + damping * moments.diag().mean() * torch.eye(n)
    damped = damped[order][:, order]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    upper = torch.linalg.cholesky(inverse, upper=True)
    left = w.clone()[:, order]
    scales = w.reshape(rows, -1, size).abs().amax(2) / top
    codes = torch.zeros(rows, n)
    for j in range(n):
        own = order[j].item() // size
        if updated and j % size == 0:
            scales[:, own] = left[:, j : j + size].abs().amax(1) / top
        scale = scales[:, own]
        codes[:, j] = to_code(left[:, j] / scale).clamp(-top - 1, top)
        error = (left[:, j] - scale * codes[:, j]) / upper[j, j]
        left[:, j:] -= torch.outer(error, upper[j, j:])
    stored = torch.zeros_like(codes)
    stored[:, order] = codes
    return stored.int(), scales


def roundings():
    rows, n, samples = 6, 24, 80
    noise = Noise(5)
    w = noise.tensor(rows, n)
    mix = noise.tensor(n, n)
    inputs = noise.tensor(samples, n) @ mix
    # Sums in double precision, rounded as second moments are kept.
    moments = (inputs.T @ inputs).float().double()
    cases = {
        "rows": {},
        "act-order": {"act_order": True},
        "groups, act-order": {"group": 8, "act_order": True},
        "groups, updated": {"group": 8, "updated": True},
        "3 bits, groups, act-order": {"bits": 3, "group": 8, "act_order": True},
    }
    results = {}
    for name, options in cases.items():
        MARGINS.clear()
        codes, scales = gptq(w, moments, **{"bits": 4, "group": None, **options})
        results[name] = {
            "codes": codes.flatten().tolist(),
            "scales": scales.flatten().tolist(),
            "margin": min(MARGINS),
        }
    return {"rows": rows, "columns": n, "moments": moments.flatten().tolist(), "cases": results}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, result in [("quarot-block", block()), ("gptq-options", roundings())]:
        (folder / f"{name}.json").write_text(json.dumps(result) + "\n")
        print(name, "written")
