"""Perplexity of an export for ExecuTorch in ExecuTorch's own model of a Llama, on a CPU.

    python bench/peers/executorch_folder.py FOLDER IDS.json [--without-r4] [--program MODEL.pte]

IDS.json holds windows of token ids, as bench/peers/evaluation_windows.ts writes them. Needs torch and executorch, whose
operator computes R4. Activations are rounded to 8 bits for each token, as on a device. A program that its exporter made of
the folder, as the folder's README says, is run token by token in its runtime.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from executorch.examples.models.llama.model import Llama2Model
from executorch.examples.models.llama.source_transformation.spin_quant import (
    inject_fast_hadamard_transform_native_for_spin_quant,
)
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401 (registers the operator)
from executorch.extension.llm.export.config import llm_config


def load(folder, window, has_r4):
    params = folder / "params.json"
    config = llm_config.LlmConfig()
    config.base.checkpoint = str(folder / "consolidated.00.pth")
    config.base.params = str(params)
    config.base.preq_mode = llm_config.PreqMode("8da4w_output_8da8w")
    config.base.preq_group_size = json.loads(params.read_text())["quantization_args"]["group_size"]
    config.base.preq_embedding_quantize = "8,0"
    if has_r4:
        config.quantization.use_spin_quant = llm_config.SpinQuant("native")
    else:
        config.quantization.use_qat = True
    config.model.dtype_override = llm_config.DtypeOverride("fp32")
    config.model.use_kv_cache = False
    config.debug.generate_full_logits = True
    config.export.max_seq_length = config.export.max_context_length = window
    model = Llama2Model(llm_config=config).get_eager_model().eval()
    return inject_fast_hadamard_transform_native_for_spin_quant(model) if has_r4 else model


def perplexity(model, windows):
    total = tokens = 0
    for window in windows:
        ids = torch.tensor([window])
        logits = model(ids)
        logits = logits[0] if isinstance(logits, tuple) else logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), ids[0, 1:], reduction="sum")
        total += loss.item()
        tokens += len(window) - 1
    return math.exp(total / tokens), tokens


def program_perplexity(path, windows):
    from executorch.extension.pybindings.portable_lib import _load_for_executorch
    from executorch.kernels import quantized  # noqa: F401 (registers the operators of its tables of tokens)

    program = _load_for_executorch(str(path))
    total = tokens = 0
    for window in windows:
        for at, (token, label) in enumerate(zip(window, window[1:])):
            logits = program.forward((torch.tensor([[token]]), torch.tensor([at])))[0]
            loss = torch.nn.functional.cross_entropy(logits.reshape(1, -1).float(), torch.tensor([label]))
            total += loss.item()
            tokens += 1
    return math.exp(total / tokens), tokens


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ids", type=Path)
    parser.add_argument("--without-r4", action="store_true")
    parser.add_argument("--program", type=Path)
    given = parser.parse_args()
    windows = json.loads(given.ids.read_text())["windows"]
    with torch.no_grad():
        if given.program:
            found, tokens = program_perplexity(given.program, windows)
        else:
            model = load(given.folder, max(map(len, windows)), not given.without_r4)
            found, tokens = perplexity(model, windows)
    print(f"perplexity {found} over {tokens} tokens")
