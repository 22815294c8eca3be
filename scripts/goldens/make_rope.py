"""Makes test/goldens/rope.json: the rotary frequencies and attention factors of transformers, by configuration.

Run by hand: python scripts/goldens/make_rope.py (torch and transformers, versions in the file).
Neither the build nor the tests need it. Each case has:
  config           keys of config.json beside the sizes, in the spelling of a file
  positions        length of the sequence that the frequencies are asked for
  frequencies      float32 [head_dim / 2] of LlamaRotaryEmbedding after a pass over such a sequence
  attentionFactor  factor of its cosines and sines
"""

import json
import pathlib

import torch
import transformers
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "rope.json"

SIZES = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, vocab_size=64)
LONG = {"short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0, 3.5], "long_factor": [1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.5]}


def yarn(**others):
    return {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, **others}


# name -> (keys of config.json, positions)
CASES = {
    "default": ({"max_position_embeddings": 256}, 96),
    "linear": ({"max_position_embeddings": 256, "rope_scaling": {"type": "linear", "factor": 4.0}}, 96),
    "llama3": ({"max_position_embeddings": 256, "rope_theta": 1000.0, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}}, 96),
    "yarn": ({"max_position_embeddings": 256, "rope_scaling": yarn()}, 96),
    "yarn, type": ({"max_position_embeddings": 256, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 96),
    "yarn, rope_parameters": ({"max_position_embeddings": 256, "rope_parameters": yarn(rope_theta=500000.0)}, 96),
    "yarn, both spellings": ({"max_position_embeddings": 256, "rope_scaling": yarn(factor=2.0),
                              "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}, 96),
    "yarn, attention_factor": ({"max_position_embeddings": 256, "rope_scaling": yarn(attention_factor=0.75)}, 96),
    "yarn, mscale": ({"max_position_embeddings": 256, "rope_scaling": yarn(mscale=0.7, mscale_all_dim=1.3)}, 96),
    "yarn, mscale alone": ({"max_position_embeddings": 256, "rope_scaling": yarn(mscale=0.7)}, 96),
    "yarn, mscale 0": ({"max_position_embeddings": 256, "rope_scaling": yarn(mscale=0.7, mscale_all_dim=0)}, 96),
    "yarn, betas": ({"max_position_embeddings": 4096, "rope_scaling": yarn(
        beta_fast=16, beta_slow=2, original_max_position_embeddings=1024)}, 96),
    "yarn, not truncated": ({"max_position_embeddings": 4096, "rope_scaling": yarn(
        truncate=False, original_max_position_embeddings=1024)}, 96),
    "yarn, original outside": ({"max_position_embeddings": 4096, "original_max_position_embeddings": 2048,
                                "rope_scaling": yarn()}, 96),
    "yarn, no factor": ({"max_position_embeddings": 512, "rope_scaling": yarn(factor=None)}, 96),
    "yarn, bounds meet": ({"max_position_embeddings": 64, "rope_scaling": yarn(
        beta_fast=1, original_max_position_embeddings=6)}, 96),
    "dynamic, short": ({"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 4.0}}, 64),
    "dynamic, long": ({"max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 4.0}}, 160),
    "dynamic, rope_parameters": ({"max_position_embeddings": 64, "rope_parameters": {
        "rope_type": "dynamic", "rope_theta": 500000.0, "factor": 2.0}}, 160),
    "longrope, short": ({"max_position_embeddings": 256, "original_max_position_embeddings": 64,
                         "rope_scaling": {"type": "longrope", **LONG}}, 64),
    "longrope, long": ({"max_position_embeddings": 256, "original_max_position_embeddings": 64,
                        "rope_scaling": {"type": "longrope", **LONG}}, 65),
    "longrope, factor": ({"max_position_embeddings": 256, "rope_scaling": {
        "rope_type": "longrope", "factor": 8.0, "original_max_position_embeddings": 128, **LONG}}, 96),
    "longrope, attention_factor": ({"max_position_embeddings": 256, "rope_scaling": {
        "rope_type": "longrope", "attention_factor": 1.5, "original_max_position_embeddings": 128, **LONG}}, 96),
}


def make(keys, positions):
    config = LlamaConfig(**SIZES, **json.loads(json.dumps(keys)))
    rotary = LlamaRotaryEmbedding(config)
    rotary(torch.zeros(1, dtype=torch.float32), torch.arange(positions)[None])
    return {"config": keys, "positions": positions, "frequencies": rotary.inv_freq.tolist(),
            "attentionFactor": float(rotary.attention_scaling)}


if __name__ == "__main__":
    cases = {name: make(*case) for name, case in CASES.items()}
    record = {"made": {"torch": torch.__version__, "transformers": transformers.__version__},
              "sizes": SIZES, "cases": cases}
    OUT.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{len(cases)} cases")
