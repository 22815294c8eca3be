#!/usr/bin/env python3
"""
Writes a GGUF file of a model folder's shape with random weights, for `spinquant bench --gguf`: how fast llama.cpp
computes does not depend on the numbers. Linear layers are Q4_0, and the embedding, which is the output layer too, Q6_K,
as llama.cpp's own program makes them of a model with tied embeddings. Needs the wheels `gguf` and `numpy`.

    python bench/peers/random_gguf.py MODEL_FOLDER OUT.gguf
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np

RANDOM = np.random.default_rng(0)
# Multiples of so small a unit keep the residual finite through all layers.
UNIT = np.float16(0.002)
BLOCK = {"Q4_0": 32, "Q6_K": 256}


def bytes_of(kind, rows, columns):
    """Blocks with the same scale and random codes, as [rows, bytes of a row]."""
    blocks = columns // BLOCK[kind]
    unit = np.broadcast_to(np.frombuffer(UNIT.tobytes(), np.uint8), (rows, blocks, 2))
    if kind == "Q4_0":
        codes = RANDOM.integers(0, 256, (rows, blocks, 16), np.uint8)
        return np.concatenate([unit, codes], 2).reshape(rows, -1)
    codes = RANDOM.integers(0, 256, (rows, blocks, 192), np.uint8)
    scales = np.ones((rows, blocks, 16), np.uint8)
    return np.concatenate([codes, scales, unit], 2).reshape(rows, -1)


def add(writer, name, kind, rows, columns):
    writer.add_tensor(name, bytes_of(kind, rows, columns), raw_dtype=getattr(gguf.GGMLQuantizationType, kind))


def add_tokenizer(writer, folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def main(folder, out):
    config = json.loads((folder / "config.json").read_text())
    d, f, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads", heads)
    kv = kv_heads * (d // heads)
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(d)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(f)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(d // heads)
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    add_tokenizer(writer, folder)
    ones = np.ones(d, np.float32)
    add(writer, "token_embd.weight", "Q6_K", config["vocab_size"], d)
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(layers):
        block = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}.{name}.weight", ones)
        sizes = {"attn_q": (d, d), "attn_k": (kv, d), "attn_v": (kv, d), "attn_output": (d, d)}
        sizes |= {"ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)}
        for name, (rows, columns) in sizes.items():
            add(writer, f"{block}.{name}.weight", "Q4_0", rows, columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: random_gguf.py MODEL_FOLDER OUT.gguf")
    main(Path(sys.argv[1]), sys.argv[2])
