"""Perplexity of an exported Hugging Face or compressed-tensors folder in transformers, on a CPU.

    python bench/peers/checkpoint_folder.py FOLDER IDS.json [--no-activations]

IDS.json holds windows of token ids, as bench/peers/evaluation_windows.ts writes them. Needs torch, transformers and
compressed-tensors. Prints the perplexity, and the logits of the first window's last token where a file is named by --logits.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM


def apply_transforms(model, folder, config):
    """transformers applies no transform_config by itself."""
    from compressed_tensors.transform import TransformConfig, apply_transform_config

    transforms = config.get("quantization_config", {}).get("transform_config")
    if not transforms:
        return
    apply_transform_config(model, TransformConfig.model_validate(transforms))
    loaded = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                if name.endswith("_input.weight"):
                    parameter = model.get_parameter(name)
                    stored = file.get_tensor(name).to(parameter.dtype)
                    kinds = {group["type"] for group in transforms["config_groups"].values()}
                    if kinds == {"hadamard"} and not torch.equal(parameter.data, stored):
                        raise SystemExit(f"{name} is not the matrix that the package makes")
                    parameter.data = stored
                    loaded += 1
    print("transforms loaded:", loaded)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("windows", type=Path)
    parser.add_argument("--no-activations", action="store_true")
    parser.add_argument("--logits", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    config = json.loads((options.folder / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype="auto")
    apply_transforms(model, options.folder, config)
    if options.no_activations:
        for module in model.modules():
            if getattr(module, "quantization_scheme", None) is not None:
                module.quantization_scheme.input_activations = None
    windows = json.loads(options.windows.read_text())["windows"]
    total = count = 0
    with torch.no_grad():
        for at, ids in enumerate(windows):
            ids = torch.tensor([ids])
            logits = model(ids).logits[0].float()
            if at == 0 and options.logits:
                options.logits.write_text(json.dumps(logits[-1].tolist()))
            losses = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
            total += losses.item()
            count += ids.shape[1] - 1
    print("perplexity", math.exp(total / count))


main()
