"""QuIP#: weights in channels that signs and Hadamard transforms mixed, rounded eight at a time to lattice codebooks.

Everything is in float64, and nearest points are found by trying all points of a book.
"""

from functools import lru_cache
from itertools import combinations, product

import torch

from .hadamard import transform

DAMPING = 0.01
BLOCK = 8
RHO = {2: 1.03, 3: 0.98, 4: 1.03}
RESIDUAL = {3: 2.04, 4: 3.45}
TRIPLES = [t for place, t in enumerate(combinations(range(8), 3)) if place % 2 == 0 or place == 55]
"""Coordinates of 1/2 in the 29 patterns with five 3/2; which 29 is a choice of this product."""


@lru_cache(maxsize=None)
def e8p() -> torch.Tensor:
    """All points [65536, 8]."""
    patterns = {p for p in product((0.5, 1.5, 2.5), repeat=8) if sum(x * x for x in p) <= 10}
    patterns |= {tuple(0.5 if i in triple else 1.5 for i in range(8)) for triple in TRIPLES}
    signs = torch.tensor(list(product((1.0, -1.0), repeat=8)), dtype=torch.float64)
    signed = (torch.tensor(sorted(patterns), dtype=torch.float64)[:, None] * signs).reshape(-1, 8)
    even = signed[signed.sum(1) % 2 == 0]
    return torch.cat([even + 0.25, even - 0.25])


@lru_cache(maxsize=None)
def one_bit() -> torch.Tensor:
    """All points [256, 8]: E8 up to norm 2, and +-2 in one coordinate without -2 in the last."""
    whole = [p for p in product((0.0, 1.0, -1.0), repeat=8) if sum(abs(x) for x in p) in (0, 2)]
    halves = [p for p in product((0.5, -0.5), repeat=8) if sum(p) % 2 == 0]
    long = [tuple(2.0 * sign * (i == k) for i in range(8)) for k in range(8) for sign in (1, -1)]
    return torch.tensor(whole + halves + long[:-1], dtype=torch.float64)


def nearest(x: torch.Tensor, book: torch.Tensor) -> torch.Tensor:
    """The points nearest to the rows of x [m, 8]; notes by how much the second nearest are farther off."""
    best = (x @ book.T * 2 - (book * book).sum(1)).topk(2, 1)
    margins.append((best.values[:, 0] - best.values[:, 1]).min().item())
    return book[best.indices[:, 0]]


margins: list[float] = []
"""Of all searches so far: the least difference of squared distances between the nearest point and the next."""


def quantize(x: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of E8P and of the residual for x [m, 8]."""
    first = nearest(x, e8p())
    if bits == 2:
        return first, torch.zeros_like(first)
    return first, nearest((x - first) * RESIDUAL[bits], one_bit() if bits == 3 else e8p())


def value(first: torch.Tensor, second: torch.Tensor, bits: int) -> torch.Tensor:
    return first if bits == 2 else first + second / RESIDUAL[bits]


def block_ldl(h: torch.Tensor) -> torch.Tensor:
    """L of h = L D Lᵀ, unit lower triangular but for its blocks of eight, by eliminating block after block."""
    n = h.shape[0]
    rest, lower = h.clone(), torch.eye(n, dtype=h.dtype)
    for k in range(0, n, BLOCK):
        own = slice(k, k + BLOCK)
        lower[k:, own] = rest[k:, own] @ torch.linalg.inv(rest[own, own])
        rest[k:, k:] -= lower[k:, own] @ rest[own, k:].clone()
    return lower


def mixed(x: torch.Tensor, row_signs: torch.Tensor, column_signs: torch.Tensor) -> torch.Tensor:
    """M_mᵀ S_V x S_U M_n."""
    return transform((transform(x * column_signs)).T * row_signs).T


def unmixed(x: torch.Tensor, row_signs: torch.Tensor, column_signs: torch.Tensor) -> torch.Tensor:
    """Solves for what `mixed` made x of: the transform is orthogonal, but not symmetric for every width."""
    m, n = (transform(torch.eye(size, dtype=x.dtype)) for size in x.shape)
    return row_signs[:, None] * (m @ x @ n.T) * column_signs


def rounded(
    w: torch.Tensor, moment: torch.Tensor, row_signs: torch.Tensor, column_signs: torch.Tensor, bits: int, sweeps: int = 10
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """w [m, n] by the second moment [n, n] of its inputs; returns its value, and both points in mixed channels.

    Columns are filled up with zeros to blocks of eight, as many as there are column signs.
    """
    (m, n), width = w.shape, len(column_signs)
    filled, h = torch.zeros(m, width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
    filled[:, :n], h[:n, :n] = w, moment
    w, h = mixed(filled, row_signs, column_signs), mixed(h, column_signs, column_signs)
    h = h / h.diagonal().mean() + DAMPING * torch.eye(width, dtype=torch.float64)
    unit = w.square().mean().sqrt() / RHO[bits]
    w, lower = w / unit, block_ldl(h)
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    for sweep in range(sweeps + 1):
        for k in range(width - BLOCK, -1, -BLOCK):
            own, error = slice(k, k + BLOCK), w - value(first, second, bits)
            if sweep == 0:
                wanted = w[:, own] + error[:, k + BLOCK :] @ lower[k + BLOCK :, own]
            else:
                wanted = value(first, second, bits)[:, own] + error @ h[:, own] @ torch.linalg.inv(h[own, own])
            first[:, own], second[:, own] = quantize(wanted, bits)
    return unmixed(value(first, second, bits) * unit, row_signs, column_signs)[:, :n], first, second
