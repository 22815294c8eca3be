"""Hadamard matrices (Sylvester, Paley I; others from a file) and the transform of order K * 2^m."""

from functools import lru_cache

import torch

EXTRA: dict[int, torch.Tensor] = {}
"""Matrices of +-1 given from outside, by order; checked by `add_table`."""


def add_table(matrix: torch.Tensor) -> None:
    """Make an order available that no construction here reaches, e.g. 172."""
    k = matrix.shape[0]
    m = matrix.double()
    if not torch.equal(m @ m.T, k * torch.eye(k, dtype=torch.float64)):
        raise ValueError(f"the table of order {k} is no Hadamard matrix")
    EXTRA[k] = m
    table.cache_clear()
    factors.cache_clear()


def is_prime(n: int) -> bool:
    return n > 1 and all(n % p for p in range(2, int(n**0.5) + 1))


def paley_one(k: int) -> torch.Tensor:
    """I + S with S skew: S = [[0, 1], [-1, Q]], Q[i, j] the quadratic character of i - j modulo q = k - 1."""
    q = k - 1
    squares = {i * i % q for i in range(1, q)}
    chi = torch.tensor([0] + [1 if i in squares else -1 for i in range(1, q)], dtype=torch.float64)
    index = torch.arange(q)
    s = torch.zeros(k, k, dtype=torch.float64)
    s[0, 1:] = 1
    s[1:, 0] = -1
    s[1:, 1:] = chi[(index[:, None] - index[None, :]) % q]
    return s + torch.eye(k, dtype=torch.float64)


@lru_cache(maxsize=None)
def table(k: int) -> torch.Tensor | None:
    """A Hadamard matrix of order k with entries +-1, float64."""
    if k in EXTRA:
        return EXTRA[k]
    if k & (k - 1) == 0:
        h = torch.ones(1, 1, dtype=torch.float64)
        while h.shape[0] < k:
            h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
        return h
    return paley_one(k) if k % 4 == 0 and is_prime(k - 1) else None


@lru_cache(maxsize=None)
def factors(n: int) -> tuple[int, int]:
    """(K, 2^m) with n = K * 2^m and a table of order K; the smallest such K."""
    odd = n
    while odd % 2 == 0:
        odd //= 2
    if odd == 1:
        return 1, n
    k = 4 * odd
    while n % k == 0:
        if table(k) is not None:
            return k, n // k
        k *= 2
    raise ValueError(f"no Hadamard matrix for the width {n}: give one with --tables")


def transform(z: torch.Tensor) -> torch.Tensor:
    """Last axis viewed as Z [K, 2^m], row-major: (H_K Z H_{2^m}) / sqrt(n); 2^m is split once more for speed."""
    n = z.shape[-1]
    k, power = factors(n)
    a = 1 << ((power.bit_length() - 1) // 2)
    b = power // a
    y = z.reshape(*z.shape[:-1], k, a, b) @ table(b).to(z.dtype)
    if a > 1:
        y = table(a).to(z.dtype) @ y
    if k > 1:
        y = (table(k).to(z.dtype) @ y.flatten(-2)).reshape(y.shape)
    return y.reshape(z.shape) * n**-0.5


def random_signs(n: int, generator: torch.Generator) -> torch.Tensor:
    """diag(s) times the transform of the identity, s uniform in +-1. [n, n] float64."""
    signs = torch.randint(0, 2, (n,), generator=generator).double() * 2 - 1
    return signs[:, None] * transform(torch.eye(n, dtype=torch.float64))


def haar(n: int, generator: torch.Generator) -> torch.Tensor:
    """Q of a Gaussian's QR decomposition with the signs of R's diagonal. [n, n] float64."""
    q, r = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    return q * torch.sign(torch.diagonal(r))
