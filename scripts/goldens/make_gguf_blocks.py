"""Makes test/goldens/gguf/blocks.json: quantized blocks with their values by the reference's dequantization.

Run by hand: pip install gguf, then python scripts/goldens/make_gguf_blocks.py. Neither the build nor the tests need it.
All bytes are random, so every bit of every packed field counts; only the float16 scales are chosen.
"""

import base64
import json
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "gguf"
# Byte offsets of the float16 fields of a block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_XS": [0],
}
# Usual sizes, the ends of the range, a subnormal number and both zeros.
SCALES = [0.0123, -1.5, 65504, 2**-24, 0.0, -0.0, 3 * 2**-20, -7e-5]


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def main():
    rng = np.random.default_rng(1)
    blocks = {}
    for name, halves in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        count = len(SCALES) if elements == 32 else 4
        data = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for row in range(count):
            for place, at in enumerate(halves):
                scale = np.float16(SCALES[(row * (1 + place) + 3 * place) % len(SCALES)])
                data[row, at:at + 2] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
        values = dequantize(data, kind).astype(np.float32)
        assert values.shape == (count, elements) and np.isfinite(values).all()
        blocks[name] = {"bytes": text(data), "values": text(values)}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "blocks.json").write_text(json.dumps(blocks, indent=1) + "\n")


main()
