#!/usr/bin/env python3
"""SpinQuant in PyTorch: a yardstick for the product, never needed by its build or tests. Prints one JSON document.

  evaluate  perplexity of a text, full precision and quantized, for rotations none, drawn, or from a file
  learn     Cayley SGD with the quantized network in the loop, then perplexity
  gradient  d loss / d R1 and R2 of one batch, compared with a file of the product's
  steps     learning steps on demand: one per line on stdin, seconds on stdout
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from peer import data, hadamard
from peer import gradient as gradients
from peer.learn import Learner
from peer.llama import Llama, Rotations, perplexity, without_keys
from peer.quantizers import Quantizers, place


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    for name in ("evaluate", "learn", "gradient", "steps"):
        job = jobs.add_parser(name)
        job.add_argument("model", type=Path, help="Hugging Face folder")
        add_setting(job)
        if name != "gradient":
            job.add_argument("--test", type=Path, required=name == "evaluate", help="text to predict")
        if name in ("learn", "steps"):
            add_learning(job)
        if name == "gradient":
            job.add_argument("--ours", type=Path, required=True, help="ids and gradients of the product, safetensors")
    return parser.parse_args(argv)


def add_setting(job: argparse.ArgumentParser) -> None:
    job.add_argument("--bits", type=int, nargs=4, default=[4, 4, 4, 4], metavar=("W", "A", "K", "V"))
    job.add_argument("--weight-clip", action="store_true", help="search 80 clip ratios per row")
    job.add_argument("--rotations", default="none", help="none, hadamard, random, or a file with R1, R2.{i}")
    job.add_argument("--no-r3", action="store_true")
    job.add_argument("--no-r4", action="store_true")
    job.add_argument("--seed", type=int, default=0)
    job.add_argument("--fast", action="store_true", help="rotate weights in float32 (the reference: float64)")
    job.add_argument("--float64", action="store_true", help="compute the network in float64")
    job.add_argument("--tables", type=Path, help="safetensors with Hadamard matrices `table.{order}` not made here")
    job.add_argument("--keep-gains", action="store_true", help="leave the norms' gains where they are")
    job.add_argument("--output-per-token", action="store_true", help="input of o: one scale per token, not per head")
    job.add_argument("--zero-in-groups", action="store_true", help="force 0 into the range of o's input and values too")
    job.add_argument("--zero-free-keys", action="store_true", help="do not force 0 into the range of keys")
    job.add_argument("--zero-free-tokens", action="store_true", help="do not force 0 into the range of tokens")
    job.add_argument("--noise", type=float, default=0.0, help="relative Gaussian noise on every weight")
    job.add_argument("--noise-draws", type=int, default=0, help="repeat with so many draws of the noise")
    job.add_argument("--length", type=int, default=256)
    job.add_argument("--max-windows", type=int, default=None)
    job.add_argument("--threads", type=int, default=2)


def add_learning(job: argparse.ArgumentParser) -> None:
    job.add_argument("--calibration", type=Path, required=True)
    job.add_argument("--steps", type=int, default=100)
    job.add_argument("--rate", type=float, default=1.5)
    job.add_argument("--batch", type=int, default=8)
    job.add_argument("--samples", type=int, default=800, help="blocks of the calibration text used at most")
    job.add_argument("--learning-weight-bits", type=int, default=None, help="weights in the loop; as --bits unless said")
    job.add_argument("--recompute", action="store_true", help="gradient checkpointing, weights rotated again backward")
    job.add_argument("--clip", type=float, default=1.0, help="largest global norm of the gradient")
    job.add_argument("--no-qr", action="store_true", help="never re-orthogonalise by the QR of 1 in 101 steps")
    job.add_argument("--out", type=Path, help="file for the learned rotations")


def model_of(args: argparse.Namespace, noise_seed: int | None = None) -> Llama:
    dtype = torch.float64 if args.float64 else torch.float32
    return Llama(
        args.model,
        dtype=dtype,
        rotate_in=dtype if args.fast else torch.float64,
        fold_gains=not args.keep_gains,
        noise=0.0 if noise_seed is None else args.noise,
        seed=noise_seed or 0,
    )


def rotations_of(args: argparse.Namespace, model: Llama) -> Rotations:
    c = model.config
    if args.rotations == "none":
        return Rotations()
    if args.rotations in ("hadamard", "random"):
        draw = {"hadamard": hadamard.random_signs, "random": hadamard.haar}[args.rotations]
        generator = torch.Generator().manual_seed(args.seed)
        r1 = draw(c.hidden, generator).float()
        r2 = [draw(c.head_dim, generator).float() for _ in range(c.layers)]
    else:
        r1, r2 = data.read_rotations(Path(args.rotations), c.layers)
    rotations = Rotations(r1, r2, not args.no_r3, not args.no_r4)
    if args.float64:
        rotations.r1 = rotations.r1.double()
        rotations.r2 = [r.double() for r in rotations.r2]
    return rotations


def quantizers_of(args: argparse.Namespace, model: Llama, weight_bits: int | None = None) -> Quantizers:
    w, a, k, v = args.bits
    return place(
        model.config.head_dim,
        w if weight_bits is None else weight_bits,
        a,
        k,
        v,
        search=args.weight_clip,
        output_per_head=not args.output_per_token,
        zero_in_token=not args.zero_free_tokens,
        zero_in_key=not args.zero_free_keys,
        zero_in_groups=args.zero_in_groups,
    )


def measure(args: argparse.Namespace, noise_seed: int | None = None, rotations: Rotations | None = None) -> float:
    model = model_of(args, noise_seed)
    rotations = rotations or rotations_of(args, model)
    quantizers = quantizers_of(args, model)
    blocks = data.windows(args.model, args.test, args.length)[: args.max_windows]
    return perplexity(model, blocks, without_keys(rotations, quantizers), quantizers)


def evaluate(args: argparse.Namespace) -> dict:
    plain = model_of(args)
    blocks = data.windows(args.model, args.test, args.length)[: args.max_windows]
    found = {
        "windows": len(blocks),
        "fullPrecision": perplexity(plain, blocks, Rotations(), Quantizers()),
        "quantized": measure(args),
    }
    if args.noise_draws:
        found["perturbed"] = [measure(args, noise_seed=seed + 1) for seed in range(args.noise_draws)]
    return found


def learner_of(args: argparse.Namespace) -> Learner:
    model = model_of(args)
    quantizers = quantizers_of(args, model, args.learning_weight_bits)
    blocks = data.calibration(args.model, args.calibration, args.length)[: args.samples]
    learner = Learner(
        model,
        without_keys(rotations_of(args, model), quantizers),
        quantizers,
        blocks,
        steps=args.steps,
        rate=args.rate,
        batch=args.batch,
        clip=args.clip,
        recompute=args.recompute,
    )
    if args.no_qr:
        learner.rng = None
    return learner


def learn(args: argparse.Namespace) -> dict:
    learner = learner_of(args)
    curve = []
    for index in range(args.steps):
        curve.append(learner.step(index))
        print(f"step {index + 1}/{args.steps} loss {curve[-1]['loss']:.4f}", file=sys.stderr, flush=True)
    rotations = learner.polished()
    if args.out:
        data.write_rotations(args.out, rotations.r1, rotations.r2)
    found = {"blocks": len(learner.blocks), "loss": [s["loss"] for s in curve]}
    found |= {"gradientNorm": [s["gradientNorm"] for s in curve], "seconds": [s["seconds"] for s in curve]}
    if args.test:
        found |= {"start": measure(args), "learned": measure(args, rotations=rotations)}
    return found


def steps(args: argparse.Namespace) -> None:
    learner = learner_of(args)
    print("ready", flush=True)
    for index, _ in enumerate(sys.stdin):
        print(json.dumps(learner.step(index % args.steps)), flush=True)


PRECISIONS = {"float64": (True, False), "reference": (False, False), "fast": (False, True)}
"""Name -> (network in float64, weights rotated in the network's type)."""


def gradient(args: argparse.Namespace) -> dict:
    """The product's dump against float64, float32 with float64 rotation, and float32 throughout."""
    dump = data.load_file(args.ours)
    add_tables(dump)
    given = [dump["R1"], *(dump[f"R2.{i}"] for i in range(sum("R2." in n and "grad" not in n for n in dump)))]
    ours = gradients.Pass(dump["loss"].item(), [dump[f"{n}.gradient"].double() for n in names(len(given))])
    r3, r4 = args.bits[2] < 16 and not args.no_r3, not args.no_r4
    passes, found = {}, {}
    for name, (float64, fast) in PRECISIONS.items():
        args.float64, args.fast = float64, fast
        model = model_of(args)
        quantizers = quantizers_of(args, model)
        passes[name] = gradients.run(model, dump, given, quantizers, r3, r4)
        if "logits.plain" in dump:
            logits = gradients.compare_logits(model, dump, given, quantizers, r3, r4)
            found.setdefault("logits", {})[name] = logits
        if "prepared.0.q" in dump:
            weights = gradients.compare_weights(model, dump, given, quantizers, r4)
            found.setdefault("weights", {})[name] = weights
    exact = passes["float64"]
    return {
        "loss": exact.loss,
        "norms": {n: gradients.norms(p, given) for n, p in {"ours": ours, **passes}.items()},
        "oursAgainstFloat64": gradients.compare(ours, exact, given),
        "oursAgainstFast": gradients.compare(ours, passes["fast"], given),
        "referenceAgainstFloat64": gradients.compare(passes["reference"], exact, given),
        "fastAgainstFloat64": gradients.compare(passes["fast"], exact, given),
        **found,
    }


def add_tables(tensors: dict[str, torch.Tensor]) -> None:
    for name, matrix in tensors.items():
        if name.startswith("table."):
            hadamard.add_table(matrix)


def names(count: int) -> list[str]:
    return ["R1", *(f"R2.{i}" for i in range(count - 1))]


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    if args.tables:
        add_tables(data.load_file(args.tables))
    job = {"evaluate": evaluate, "learn": learn, "gradient": gradient, "steps": steps}[args.job]
    found = job(args)
    if found is not None:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
