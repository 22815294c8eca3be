"""Runs the product's command line and its dump on generated experiment files; keeps results."""

import json
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = Path(__file__).resolve().parents[1] / "results.json"
NODE = ["node", "--import", "tsx"]


def experiment(
    path: Path,
    model: Path,
    bits: list[int],
    test: Path | None = None,
    calibration: Path | None = None,
    rotation: str = "none",
    seed: int = 0,
    online: bool = True,
    length: int = 256,
    weight_clip: bool = False,
    learning: dict | None = None,
) -> Path:
    """Writes an experiment file with absolute paths. bits: weights, activations, keys, values."""
    w, a, k, v = bits
    document = {
        "model": str(model.resolve()),
        "quantization": {
            "weights": {"bits": w, "clip": weight_clip},
            "activations": {"bits": a},
            "keys": {"bits": k, "offset": "bias"},
            "values": {"bits": v},
        },
        "rotation": {"r1": rotation, "r2": rotation, "r3": online, "r4": online, "seed": seed},
        "runs": str(path.parent / "runs"),
        "threads": 2,
    }
    if learning:
        document["rotation"]["learning"] = learning
    if calibration:
        document["calibration"] = {"text": str(calibration.resolve()), "sequenceLength": length}
    if test:
        task = {"name": "test", "text": str(test.resolve()), "sequenceLength": length}
        document["evaluation"] = {"perplexity": [task]}
    path.write_text(json.dumps(document, indent=1))
    return path


def spinquant(*arguments: object) -> dict:
    """One command of the product with --json."""
    line = [*NODE, "src/cli/main.ts", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(line, cwd=REPOSITORY, check=True, capture_output=True).stdout)


def dump(file: Path, out: Path, *options: str) -> Path:
    line = [*NODE, "bench/peers/dump.ts", str(file), str(out), *options]
    subprocess.run(line, cwd=REPOSITORY, check=True, capture_output=True)
    return out


def recorded() -> dict:
    """All of results.json."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def record(section: str, value: object) -> None:
    """Puts one section into results.json and prints it."""
    results = recorded()
    results[section] = value
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(value, indent=1))
