#!/usr/bin/env python3
"""LLM-QAT's loss and first update in PyTorch, from the published formulas (Liu et al. 2023). Prints one JSON document.

The quantizers are those of the product's experiments: weights symmetric per output row, activations asymmetric per token,
the input of o, keys after RoPE and values asymmetric per head; norms are folded into the weights behind them before these
are rounded. Everything is computed in float64. The token ids are drawn until no number lies near a border of its grid, so
that a program in float32 rounds every number to the same grid point.

  llm_qat.py MODEL > test/fixtures/llm-qat.json
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

BATCH, SEQUENCE = 2, 6
WEIGHT_BITS, BITS = 4, 8
LEARNING_RATE, BETA1, BETA2, EPSILON = 2e-5, 0.9, 0.999, 1e-8
# In steps of a grid. Activations have up to 255 of them and come out of long sums: float32 errs by 1e-4 steps at most.
# Weights have up to 7 and come out of one product.
MARGIN, WEIGHT_MARGIN = 5e-4, 2e-6
SAMPLES = 4


class Margins:
    """The smallest distance of a number to a border between grid points, in margins that are asked for."""

    least = float("inf")

    @classmethod
    def note(cls, steps, margin):
        distance = (steps - steps.floor() - 0.5).abs().min().item()
        cls.least = min(cls.least, distance / margin)


def straight_through(x, rounded):
    return x + (rounded - x).detach()


def weight(w):
    top = 2 ** (WEIGHT_BITS - 1) - 1
    scale = w.detach().abs().amax(1, keepdim=True).clamp(min=1e-5) / top
    Margins.note(w.detach() / scale, WEIGHT_MARGIN)
    return straight_through(w, (w / scale).round().clamp(-top - 1, top) * scale)


def activation(x, group, with_zero=True):
    top = 2**BITS - 1
    rows = x.reshape(-1, group)
    low, high = rows.detach().amin(1, keepdim=True), rows.detach().amax(1, keepdim=True)
    if with_zero:
        low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low) / top
    zero = (-low / scale).round()
    Margins.note(-low / scale, MARGIN)
    Margins.note(rows.detach() / scale, MARGIN)
    rounded = ((rows / scale).round() + zero).clamp(0, top) - zero
    return straight_through(rows, rounded * scale).reshape(x.shape)


def same(x, *_):
    return x


class Network:
    """One forward pass over rows of tokens [B·S, d] from named weights."""

    def __init__(self, config, quantized):
        self.c = config
        self.w = weight if quantized else same
        self.a = activation if quantized else same

    def norm(self, x):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"]).sqrt()

    def rope(self, x):
        half = x.shape[-1] // 2
        theta = self.c["rope_parameters"]["rope_theta"] ** (-torch.arange(half, dtype=x.dtype) / half)
        angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * theta
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def logits(self, weights, ids):
        c, w, a = self.c, self.w, self.a
        heads, kv, h = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        batch, sequence = ids.shape
        x = weights["model.embed_tokens.weight"][ids]
        unseen = torch.full((sequence, sequence), float("-inf"), dtype=x.dtype).triu(1)
        split = lambda y, n: y.reshape(batch, sequence, n, h).transpose(1, 2)
        for layer in range(c["num_hidden_layers"]):
            get = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
            behind = lambda norm, name: w(get(name) * get(norm))
            read = a(self.norm(x), c["hidden_size"])
            q, k, v = (read @ behind("input_layernorm", f"self_attn.{one}_proj").T for one in "qkv")
            q, k = self.rope(split(q, heads)), a(self.rope(split(k, kv)), h)
            v = split(a(v, h, False), kv)
            k, v = (y.repeat_interleave(heads // kv, 1) for y in (k, v))
            mixed = (q @ k.transpose(-1, -2) / h**0.5 + unseen).softmax(-1) @ v
            mixed = a(mixed.transpose(1, 2).reshape(batch, sequence, heads * h), h, False)
            x = x + mixed @ w(get("self_attn.o_proj")).T
            read = a(self.norm(x), c["hidden_size"])
            gate, up = (read @ behind("post_attention_layernorm", f"mlp.{one}_proj").T for one in ("gate", "up"))
            product = a(torch.nn.functional.silu(gate) * up, c["intermediate_size"])
            x = x + product @ w(get("mlp.down_proj")).T
        return (self.norm(x) * weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def first_step(config, checkpoint, ids):
    """KL(teacher ‖ student) summed over tokens and divided by the batch, its derivatives, and AdamW's first update."""
    student = {name: value.clone().requires_grad_() for name, value in checkpoint.items()}
    teacher_logits = Network(config, False).logits(checkpoint, ids)
    Margins.least = float("inf")
    student_logits = Network(config, True).logits(student, ids)
    p, q = teacher_logits.log_softmax(-1), student_logits.log_softmax(-1)
    loss = (p.exp() * (p - q)).sum() / BATCH
    loss.backward()
    gradients = {name: value.grad for name, value in student.items()}
    optimizer = torch.optim.AdamW(
        student.values(), lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPSILON, weight_decay=0
    )
    optimizer.step()
    updates = {name: (student[name] - checkpoint[name]).detach() for name in student}
    return loss.item(), gradients, updates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="Hugging Face folder, untied LLaMA")
    folder = parser.parse_args().model
    config = json.loads((folder / "config.json").read_text())
    checkpoint = {name: value.double() for name, value in load_file(folder / "model.safetensors").items()}
    for seed in range(10_000):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(config["vocab_size"], (BATCH, SEQUENCE), generator=generator)
        loss, gradients, updates = first_step(config, checkpoint, ids)
        if Margins.least > 1:
            break
    else:
        raise SystemExit("every draw has a number near a border")
    tensors = {}
    for name, gradient in gradients.items():
        picks = torch.randperm(gradient.numel(), generator=generator)[:SAMPLES].tolist()
        pick = lambda values: [values.flatten()[i].item() for i in picks]
        tensors[name] = {"norm": gradient.norm().item(), "at": picks, "gradient": pick(gradient), "update": pick(updates[name])}
    setting = {"weightBits": WEIGHT_BITS, "bits": BITS, "learningRate": LEARNING_RATE}
    head = {"seed": seed, **setting, "ids": ids.tolist(), "loss": loss}
    print(json.dumps({**head, "tensors": tensors}))


main()
