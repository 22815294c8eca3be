"""Texts to token blocks, rotation files."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer


def tokenizer_of(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def windows(folder: Path, text: Path, length: int) -> torch.Tensor:
    """[N, length]: the text tokenized once without BOS, the partial window at the end dropped."""
    ids = torch.tensor(encode(tokenizer_of(folder), text.read_text(encoding="utf-8")))
    return ids[: len(ids) // length * length].reshape(-1, length)


def calibration(folder: Path, text: Path, length: int) -> torch.Tensor:
    """[N, length]: every line tokenized on its own, blank ones skipped, all ids joined, the remainder dropped."""
    tokenizer = tokenizer_of(folder)
    lines = text.read_text(encoding="utf-8").split("\n")
    # A line keeps its end, as lines of text data sets do.
    kept = [line + "\n" for line in lines[:-1]] + [lines[-1]]
    ids = torch.tensor([i for line in kept if line.strip() for i in encode(tokenizer, line)])
    return ids[: len(ids) // length * length].reshape(-1, length)


def read_rotations(path: Path, layers: int) -> tuple[torch.Tensor | None, list[torch.Tensor] | None]:
    tensors = load_file(path)
    r2 = [tensors[f"R2.{i}"] for i in range(layers)] if "R2.0" in tensors else None
    return tensors.get("R1"), r2


def write_rotations(path: Path, r1: torch.Tensor | None, r2: list[torch.Tensor] | None) -> None:
    tensors = {} if r1 is None else {"R1": r1.detach().float().contiguous()}
    tensors |= {f"R2.{i}": r.detach().float().contiguous() for i, r in enumerate(r2 or [])}
    save_file(tensors, path)
