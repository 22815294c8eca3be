#!/usr/bin/env python3
"""Weights that an independent implementation of QuIP# rounds (bench/peers/peer/quip.py), for test/rounding.

Usage: make_quip.py, with PyTorch; writes test/fixtures/quip.json.
"""

import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench" / "peers"))
from peer import quip  # noqa: E402

ROWS, COLUMNS, WIDTH, SWEEPS = 8, 28, 32, 3


MARGIN = 3e-5
"""No search may be closer than this: float32 then finds the same points, being off by about 1e-6 of squares near 12."""


def make(seed: int) -> dict | None:
    """None where a search is close."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.randn(*size, generator=generator).double()
    # Written as numbers of few digits, so that everybody starts from the same ones.
    w = (draw(ROWS, COLUMNS) * 0.05).mul(1e4).round().div(1e4)
    x = draw(60, 6) @ draw(6, COLUMNS) + 0.5 * draw(60, COLUMNS)
    moment = (x.T @ x).round()
    signs = lambda n: torch.randint(0, 2, (n,), generator=generator).double() * 2 - 1
    rows, columns = signs(ROWS), signs(WIDTH)
    cases = []
    quip.margins.clear()
    for bits in (2, 3, 4):
        value, first, second = quip.rounded(w, moment, rows, columns, bits, SWEEPS)
        if min(quip.margins) < MARGIN:
            return None
        cases.append(
            {
                "bits": bits,
                "first": (first * 4).int().flatten().tolist(),
                "second": (second * 4).int().flatten().tolist(),
                "values": [round(v, 8) for v in value.flatten().tolist()],
            }
        )
    return {
        "rows": ROWS,
        "columns": COLUMNS,
        "sweeps": SWEEPS,
        "w": w.flatten().tolist(),
        "moment": moment.int().flatten().tolist(),
        "rowSigns": rows.int().tolist(),
        "columnSigns": columns.int().tolist(),
        "cases": cases,
    }


def main() -> None:
    fixture = next(found for found in map(make, range(1000)) if found)
    path = ROOT / "test" / "fixtures" / "quip.json"
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
