"""A LLaMA network with SpinQuant's rotations and quantizers; rotations are differentiable."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint

from .hadamard import transform
from .quantizers import Quantizers

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Config:
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    theta: float
    tied: bool


def read_config(folder: Path) -> Config:
    raw = json.loads((folder / "config.json").read_text())
    if raw["model_type"] != "llama" or raw.get("rope_scaling") or raw.get("attention_bias"):
        raise ValueError(f"{folder}: only LLaMA without biases and without rope scaling")
    return Config(
        hidden=raw["hidden_size"],
        intermediate=raw["intermediate_size"],
        layers=raw["num_hidden_layers"],
        heads=raw["num_attention_heads"],
        kv_heads=raw["num_key_value_heads"],
        head_dim=raw.get("head_dim") or raw["hidden_size"] // raw["num_attention_heads"],
        eps=raw["rms_norm_eps"],
        theta=raw.get("rope_theta", 10000.0),
        tied=raw.get("tie_word_embeddings", False),
    )


@dataclass
class Layer:
    w: dict[str, torch.Tensor]
    attention_gain: torch.Tensor
    mlp_gain: torch.Tensor


@dataclass
class Rotations:
    """R1 [d, d] and one R2 [h, h] per layer, or None; R3 and R4 switch the online Hadamard transforms."""

    r1: torch.Tensor | None = None
    r2: list[torch.Tensor] | None = None
    r3: bool = False
    r4: bool = False


@dataclass
class Prepared:
    """What one forward pass runs on: weights rotated and rounded, and R1 for the two ends."""

    layers: list[dict[str, torch.Tensor]]
    r1: torch.Tensor | None
    r3: bool
    r4: bool


class Llama:
    """`dtype` is what the network computes in, `rotate_in` what weights are rotated in (the reference: float64)."""

    def __init__(self, folder: Path, dtype=torch.float32, rotate_in=torch.float64, fold_gains=True, noise=0.0, seed=0):
        self.config = read_config(folder)
        self.dtype, self.rotate_in = dtype, rotate_in
        tensors = {name: t.double() for name, t in load_file(next(folder.glob("*.safetensors"))).items()}
        if noise:
            generator = torch.Generator().manual_seed(seed)
            for name, t in tensors.items():
                tensors[name] = t * (1 + noise * torch.randn(t.shape, dtype=torch.float64, generator=generator))
        self.embedding = tensors["model.embed_tokens.weight"].to(dtype)
        head = tensors["model.embed_tokens.weight" if self.config.tied else "lm_head.weight"]
        self.layers = [self._layer(tensors, i) for i in range(self.config.layers)]
        self.final_gain = tensors["model.norm.weight"]
        self.head = head
        if fold_gains:
            self._fold_gains()
        self._cast(dtype)
        self._r4_merged = False

    @staticmethod
    def _layer(tensors: dict[str, torch.Tensor], index: int) -> Layer:
        at = f"model.layers.{index}."
        w = {n: tensors[f"{at}self_attn.{n}_proj.weight"] for n in "qkvo"}
        w |= {n: tensors[f"{at}mlp.{n}_proj.weight"] for n in ("gate", "up", "down")}
        gains = [tensors[f"{at}{n}_layernorm.weight"] for n in ("input", "post_attention")]
        return Layer(w, *gains)

    def _fold_gains(self) -> None:
        for layer in self.layers:
            for name in "qkv":
                layer.w[name] = layer.w[name] * layer.attention_gain
            for name in ("gate", "up"):
                layer.w[name] = layer.w[name] * layer.mlp_gain
            layer.attention_gain = torch.ones_like(layer.attention_gain)
            layer.mlp_gain = torch.ones_like(layer.mlp_gain)
        self.head = self.head * self.final_gain
        self.final_gain = torch.ones_like(self.final_gain)

    def _cast(self, dtype) -> None:
        for layer in self.layers:
            layer.w = {n: w.to(dtype) for n, w in layer.w.items()}
            layer.attention_gain, layer.mlp_gain = layer.attention_gain.to(dtype), layer.mlp_gain.to(dtype)
        self.head, self.final_gain = self.head.to(dtype), self.final_gain.to(dtype)

    def merge_r4(self) -> None:
        """Once, before anything runs: down_proj's rows take the map that its input takes at run time."""
        if not self._r4_merged:
            for layer in self.layers:
                layer.w["down"] = transform(layer.w["down"].double()).to(self.dtype)
            self._r4_merged = True

    def prepare(self, rotations: Rotations, quantizers: Quantizers) -> Prepared:
        """Rotate and round every weight; R1 and R2 are rounded to `dtype` one after the other, as the reference does."""
        self.check_r4(rotations)
        layers = [self.prepare_layer(i, rotations, quantizers) for i in range(self.config.layers)]
        return Prepared(layers, rotations.r1, rotations.r3, rotations.r4)

    def prepare_layer(self, index: int, rotations: Rotations, quantizers: Quantizers) -> dict[str, torch.Tensor]:
        r2 = rotations.r2[index] if rotations.r2 else None
        w = self.layers[index].w
        return {n: quantizers.weight(self.rotate(n, w[n], rotations.r1, r2)) for n in LINEARS}

    def check_r4(self, rotations: Rotations) -> None:
        if rotations.r4:
            self.merge_r4()
        elif self._r4_merged:
            raise ValueError("R4 is merged already; load the model again")

    def rotate(self, name: str, w: torch.Tensor, r1: torch.Tensor | None, r2: torch.Tensor | None) -> torch.Tensor:
        wide = self.rotate_in
        if r1 is not None:
            r1 = r1.to(wide)
            turned = r1.T @ w.to(wide) if name in ("o", "down") else w.to(wide) @ r1
            w = turned.to(self.dtype)
        if r2 is not None and name in "vo":
            h = self.config.head_dim
            r2 = r2.to(wide)
            if name == "v":
                turned = (r2.T @ w.to(wide).reshape(-1, h, w.shape[1])).reshape(w.shape)
            else:
                turned = (w.to(wide).reshape(w.shape[0], -1, h) @ r2).reshape(w.shape)
            w = turned.to(self.dtype)
        return w

    def times_r1(self, x: torch.Tensor, r1: torch.Tensor | None, back: bool) -> torch.Tensor:
        if r1 is None:
            return x
        r1 = r1.to(self.rotate_in)
        return (x.to(self.rotate_in) @ (r1.T if back else r1)).to(self.dtype)

    def logits(self, ids: torch.Tensor, weights: Prepared, quantizers: Quantizers, watch=None) -> torch.Tensor:
        """ids [B, S] -> logits [B, S, V]; `watch(layer, site, quantizer, x)` sees what every quantizer reads."""
        x = self.times_r1(self.embedding[ids], weights.r1, back=False)
        for index, w in enumerate(weights.layers):
            x = self.run_layer(index, x, w, weights, quantizers, watch)
        return self.norm_head(x, weights) @ self.head.T

    def logits_recomputing(self, ids: torch.Tensor, rotations: Rotations, quantizers: Quantizers) -> torch.Tensor:
        """The same with gradient checkpointing: each layer, its rotated weights included, is computed again backward."""
        self.check_r4(rotations)
        frame = Prepared([], rotations.r1, rotations.r3, rotations.r4)
        x = self.times_r1(self.embedding[ids], rotations.r1, back=False)
        for index in range(self.config.layers):
            def layer(x, index=index):
                w = self.prepare_layer(index, rotations, quantizers)
                return self.run_layer(index, x, w, frame, quantizers, None)

            x = checkpoint(layer, x, use_reentrant=False)
        return self.norm_head(x, frame) @ self.head.T

    def run_layer(self, index: int, x, w, weights: Prepared, quantizers: Quantizers, watch) -> torch.Tensor:
        layer = self.layers[index]
        position = self.positions(x.shape[1])

        def quantize(site, quantizer, value):
            if watch:
                watch(index, site, quantizer, value)
            return quantizer(value)

        x = x + self.attention(self.norm(x, layer.attention_gain), w, weights, quantizers, position, quantize)
        return x + self.mlp(self.norm(x, layer.mlp_gain), w, weights, quantizers, quantize)

    def norm_head(self, x: torch.Tensor, weights: Prepared) -> torch.Tensor:
        """As the reference learns: R1 is undone after the final norm, and the head stays as it is."""
        ones = torch.ones_like(self.final_gain)
        return self.times_r1(self.norm(x, ones), weights.r1, back=True) * self.final_gain

    def norm(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config.eps) * gain

    def positions(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.config.head_dim
        frequency = self.config.theta ** (-torch.arange(0, h, 2, dtype=torch.float64) / h)
        angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
        angle = torch.cat([angle, angle], -1)
        return angle.cos().to(self.dtype), angle.sin().to(self.dtype)

    @staticmethod
    def rope(x: torch.Tensor, position: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        cos, sin = position
        low, high = x.chunk(2, -1)
        return x * cos + torch.cat([-high, low], -1) * sin

    def attention(self, x, w, weights: Prepared, quantizers: Quantizers, position, quantize) -> torch.Tensor:
        c = self.config
        batch, length, _ = x.shape
        x = quantize("input", quantizers.token, x)
        split = lambda y: y.reshape(batch, length, -1, c.head_dim).transpose(1, 2)
        q = self.rope(split(x @ w["q"].T), position)
        k = self.rope(split(x @ w["k"].T), position)
        if weights.r3:
            q, k = transform(q), transform(k)
        k = quantize("key", quantizers.key, k)
        v = split(quantize("value", quantizers.value, x @ w["v"].T))
        repeats = c.heads // c.kv_heads
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        return quantize("output", quantizers.output, mixed) @ w["o"].T

    def mlp(self, x, w, weights: Prepared, quantizers: Quantizers, quantize) -> torch.Tensor:
        x = quantize("mlp", quantizers.token, x)
        product = F.silu(x @ w["gate"].T) * (x @ w["up"].T)
        if weights.r4:
            product = transform(product)
        return quantize("down", quantizers.token, product) @ w["down"].T


def loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy in nats; the last position of each sequence predicts nothing."""
    real = torch.promote_types(logits.dtype, torch.float32)
    flat = logits[:, :-1].reshape(-1, logits.shape[-1]).to(real)
    return F.cross_entropy(flat, ids[:, 1:].reshape(-1))


@torch.no_grad()
def perplexity(
    model: Llama, windows: torch.Tensor, rotations: Rotations, quantizers: Quantizers, weights: Prepared | None = None
) -> float:
    """exp of the mean over windows [N, S] of each window's mean loss; `weights` are prepared here unless given."""
    weights = weights or model.prepare(rotations, quantizers)
    losses = []
    for part in windows.split(8):
        logits = model.logits(part, weights, quantizers)
        losses += [loss(one[None], ids[None]).item() for one, ids in zip(logits, part)]
    return float(torch.tensor(losses, dtype=torch.float64).mean().exp())


def without_keys(rotations: Rotations, quantizers: Quantizers) -> Rotations:
    """R3 exists only where keys are quantized."""
    return replace(rotations, r3=rotations.r3 and quantizers.key.bits < 16)
