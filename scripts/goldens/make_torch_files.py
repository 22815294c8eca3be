"""Makes test/goldens/torch: rotations as torch.save writes them, and files that must be refused.

Run by hand: python scripts/goldens/make_torch_files.py. Neither the build nor the tests need it.
The values are (index of the element + 1) / 8, exact in every floating-point type used.
"""

import collections
import pathlib

import torch
from torch import nn

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "torch"


def ramp(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return ((torch.arange(count) + 1) / 8).reshape(shape).to(dtype)


def rotations():
    r2 = {f"model.layers.{i}.self_attn.R2": ramp(2, 2) + i for i in range(2)}
    return {"R1": ramp(4, 4), **r2}


class Loud:
    """Unpickling this would run a command."""

    def __reduce__(self):
        import os
        return os.system, ("echo executed",)


def save(name, value):
    torch.save(value, OUT / name)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    # Tensors saved on a GPU carry its name: pretend.
    torch.serialization.register_package(0, lambda storage: "cuda:0", lambda storage, location: None)
    save("cuda.bin", rotations())
    torch.serialization._package_registry.pop(0)

    save("dict.bin", rotations())
    base = ramp(4, 6)
    save("views.bin", {
        "transposed": base.t(),
        "slice": base[1:3, 2:5],
        "row": base[2],
        "scalar": base[3, 5],
        "empty": base[:0],
        "expanded": base[:, :1].expand(4, 3),
    })
    save("dtypes.bin", {
        "float64": ramp(3, dtype=torch.float64),
        "float16": ramp(3, dtype=torch.float16),
        "bfloat16": ramp(3, dtype=torch.bfloat16),
    })
    module = nn.Linear(3, 2)
    module.weight.data, module.bias.data = ramp(2, 3), ramp(2)
    state = module.state_dict()
    assert isinstance(state, collections.OrderedDict) and hasattr(state, "_metadata")
    save("state_dict.bin", state)
    save("parameters.bin", {"R1": nn.Parameter(ramp(2, 2))})

    save("refused-call.bin", {"R1": Loud()})
    save("refused-list.bin", [ramp(2, 2)])
    save("refused-integers.bin", {"R1": torch.arange(4)})
    save("refused-nested.bin", {"R1": {"weight": ramp(2, 2)}})
    save("refused-sparse.bin", {"R1": ramp(2, 2).to_sparse()})
    save("refused-key.bin", {1: ramp(2, 2)})
    torch.save(rotations(), OUT / "refused-legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(rotations(), OUT / "refused-protocol.bin", pickle_protocol=4)
    for file in sorted(OUT.iterdir()):
        print(file.name, file.stat().st_size)


if __name__ == "__main__":
    main()
