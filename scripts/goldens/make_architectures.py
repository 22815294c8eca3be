"""Makes test/goldens/models: one tiny random model per supported architecture, with its logits.

Run by hand: python scripts/goldens/make_architectures.py (torch and transformers, versions in each logits.json).
Neither the build nor the tests need it. Each folder holds what transformers' save_pretrained writes, and logits.json:
  ids      token ids of one sequence
  logits   [ids, vocabulary] of transformers' own model code, run wholly in float64 on the stored (rounded) weights
  float32MaxDifference   how far the same code in float32 is from that: the size of honest rounding
  rope     transformers' float32 cos and sin tables at some positions, [positions, head_dim / 2]
"""

import contextlib
import json
import pathlib
import shutil

import torch
import transformers
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "models"
SEQUENCE = 24
POSITIONS = [0, 1, 2, 3, 5, 8, 13, 23, 64, 127, 200]

COMMON = dict(num_hidden_layers=2, vocab_size=64, max_position_embeddings=256, rms_norm_eps=1e-5,
              bos_token_id=1, eos_token_id=2, attn_implementation="sdpa")

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


def default_rope(theta):
    return {"rope_type": "default", "rope_theta": theta}


# name -> (configuration, dtype of matrices, dtype of vectors, largest file)
MODELS = {
    "llama": (LlamaConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        rope_parameters=default_rope(10000.0), tie_word_embeddings=False, **COMMON), F32, F32, "1GB"),
    # The four frequencies fall into all three regimes of the scaling.
    "llama3-scaled-tied": (LlamaConfig(
        hidden_size=48, intermediate_size=80, num_attention_heads=6, num_key_value_heads=2,
        rope_parameters={"rope_type": "llama3", "rope_theta": 1000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        tie_word_embeddings=True, **COMMON), BF16, BF16, "1GB"),
    "llama-biases-linear": (LlamaConfig(
        hidden_size=32, intermediate_size=40, num_attention_heads=4, num_key_value_heads=4,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        attention_bias=True, mlp_bias=True, tie_word_embeddings=False, **COMMON), BF16, BF16, "1GB"),
    "mistral-window-sharded": (MistralConfig(
        hidden_size=40, intermediate_size=56, num_attention_heads=5, num_key_value_heads=1, head_dim=8,
        sliding_window=7, rope_parameters=default_rope(10000.0), tie_word_embeddings=False, **COMMON),
        F16, F16, "20KB"),
    "qwen2": (Qwen2Config(
        hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        rope_parameters=default_rope(1000000.0), tie_word_embeddings=False, **COMMON), BF16, F32, "1GB"),
    # The window holds from layer 1 on only.
    "qwen2-window": (Qwen2Config(
        hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        use_sliding_window=True, sliding_window=5, max_window_layers=1,
        rope_parameters=default_rope(10000.0), tie_word_embeddings=True, **COMMON), BF16, BF16, "1GB"),
    "qwen3": (Qwen3Config(
        hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        rope_parameters=default_rope(1000000.0), tie_word_embeddings=True, **COMMON), BF16, BF16, "1GB"),
}


@contextlib.contextmanager
def float64_everywhere():
    """transformers casts to float32 inside norms, softmax and rotary tables; let these casts mean float64."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved


def random_weights(model, matrix_dtype, vector_dtype, generator):
    """Gains about 1, biases and matrices large enough that attention is uneven and every tensor matters."""
    state = {}
    for name, parameter in model.state_dict().items():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if "norm" in name:
            value = 1 + 0.3 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embed" in name or "lm_head" in name:
            value = noise * 0.5
        else:
            value = noise * 1.5 / parameter.shape[1] ** 0.5
        state[name] = value.to(matrix_dtype if parameter.dim() == 2 else vector_dtype)
    if model.config.tie_word_embeddings and "lm_head.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


def run(config, state, ids, dtype):
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = transformers.AutoModelForCausalLM.from_config(config).to(dtype).eval()
        model.load_state_dict({name: value.to(dtype) for name, value in state.items()})
        with torch.no_grad():
            return model, model(torch.tensor([ids]), use_cache=False).logits[0]
    finally:
        torch.set_default_dtype(previous)


def make(name, config, matrix_dtype, vector_dtype, shard, seed):
    generator = torch.Generator().manual_seed(seed)
    config.dtype = matrix_dtype
    model = transformers.AutoModelForCausalLM.from_config(config)
    state = random_weights(model, matrix_dtype, vector_dtype, generator)
    ids = torch.randint(3, config.vocab_size, (SEQUENCE,), generator=generator).tolist()

    for parameter_name, parameter in model.named_parameters():
        parameter.data = state[parameter_name].clone()
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)

    with float64_everywhere():
        _, logits = run(config, state, ids, torch.float64)
    assert logits.dtype == torch.float64
    single, logits32 = run(config, state, ids, torch.float32)
    difference = (logits - logits32.double()).abs().max().item()
    assert 0 < difference < 1e-4, difference
    cos, sin = single.model.rotary_emb(torch.zeros(1, dtype=torch.float32), torch.tensor([POSITIONS]))
    half = cos.shape[-1] // 2
    record = {
        "made": {"torch": torch.__version__, "transformers": transformers.__version__, "seed": seed},
        "ids": ids,
        "float32MaxDifference": difference,
        "rope": {"positions": POSITIONS, "cos": cos[0, :, :half].tolist(), "sin": sin[0, :, :half].tolist()},
        "logits": logits.tolist(),
    }
    (folder / "logits.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, |logits| max {logits.abs().max():.2f}, float32 off by {difference:.1e}")


if __name__ == "__main__":
    for seed, (name, (config, matrix, vector, shard)) in enumerate(MODELS.items()):
        make(name, config, matrix, vector, shard, seed)
