#!/usr/bin/env python3
"""Zero-shot tasks scored by transformers, one choice at a time, beside the engine's log-likelihoods.

Usage: score_tasks.py MODEL_FOLDER TASKS_FOLDER OURS.json [LIMIT]

OURS.json is a file of our_task_scores.ts on the same tasks and limit (50 by default). TASKS_FOLDER has the folders boolq,
piqa, social_i_qa, hellaswag, winogrande, arc_easy, arc_challenge and openbookqa with their published files. For each
task: the largest difference of a log-likelihood, in nats, and on how many questions the answers differ. Files are read
and prompts made here on their own, from the description of lm-evaluation-harness. Log-likelihoods are float64 sums of
float32 terms.
"""

import json
import re
import sys
from pathlib import Path

import numpy
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in lines(path) if line]


def behind(context: str, choices: list[str]) -> list[tuple[str, str, str]]:
    return [(context, " " + choice, choice) for choice in choices]


def boolq(folder: Path):
    for row in json_lines(folder / "dev.jsonl"):
        prompt = "{}\nQuestion: {}?\nAnswer:".format(row["passage"], row["question"])
        yield behind(prompt, ["no", "yes"]), int(row["answer"])


def piqa(folder: Path):
    answers = [int(line) for line in lines(folder / "valid-labels.lst") if line]
    for row, answer in zip(json_lines(folder / "valid.jsonl"), answers, strict=True):
        yield behind("Question: {}\nAnswer:".format(row["goal"]), [row["sol1"], row["sol2"]]), answer


def social_iqa(folder: Path):
    for row in json_lines(folder / "dev.jsonl"):
        prompt = "Q: {} {}\nA:".format(row["context"], row["question"])
        yield behind(prompt, row["options"]), row["options"].index(row["answer"])


def hellaswag(folder: Path):
    def clean(text: str) -> str:
        text = text.strip().replace(" [title]", ". ")
        return re.sub("\\[.*?\\]", "", text).replace("  ", " ")

    rows = lines(folder / "hellaswag_val_full.txt")
    for start in range(0, len(rows) - 5, 6):
        query, answer, *endings = rows[start : start + 6]
        yield behind(clean(query), [clean(ending) for ending in endings]), int(answer)


def instructions(path: Path, word: str):
    for row in json.loads(path.read_text(encoding="utf-8")):
        text = re.sub(r"\s*Answer format: \S+\s*$", "", row["instruction"])
        head, *choices = re.split(rf"\s*{word}\d: ?", text)
        yield head.split(": ", 1)[1], choices, int(row["answer"][-1]) - 1


def winogrande(folder: Path):
    for sentence, options, answer in instructions(folder / "llm-adapters-test.json", "Option"):
        before, rest = sentence.split("_", 1)
        yield [(before + option, " " + rest.strip(), rest.strip()) for option in options], answer


def arc(folder: Path):
    for question, choices, answer in instructions(folder / "llm-adapters-test.json", "Answer"):
        yield behind("Question: {}\nAnswer:".format(question), choices), answer


def openbookqa(folder: Path):
    for line in lines(folder / "test.tsv")[1:]:
        if not line:
            continue
        _, stem, choices, _, key = line.split("\t")
        texts = re.split(r"\s?\([ABCD]\) ", choices)[1:]
        yield behind(stem, texts), "ABCD".index(key.strip())


TASKS = {
    "boolq": ("boolq", boolq),
    "piqa": ("piqa", piqa),
    "social_iqa": ("social_i_qa", social_iqa),
    "hellaswag": ("hellaswag", hellaswag),
    "winogrande": ("winogrande", winogrande),
    "arc_easy": ("arc_easy", arc),
    "arc_challenge": ("arc_challenge", arc),
    "openbookqa": ("openbookqa", openbookqa),
}


class Scorer:
    def __init__(self, folder: str):
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.positions = self.model.config.max_position_embeddings

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        spaces = len(context) - len(context.rstrip())
        if spaces:
            continuation = context[-spaces:] + continuation
            context = context[:-spaces]
        head = self.encode(context)
        return head, self.encode(context + continuation)[len(head) :]

    @torch.no_grad()
    def likelihood(self, context: str, continuation: str) -> float:
        head, rest = self.pair(context, continuation)
        ids = (head + rest)[-(self.positions + 1) :]
        logits = self.model(torch.tensor([ids[:-1]])).logits[0]
        count = min(len(rest), len(ids) - 1)
        terms = torch.log_softmax(logits[-count:].float(), -1)
        return terms.gather(-1, torch.tensor(ids[-count:])[:, None]).double().sum().item()


def score(scorer: Scorer, questions: list) -> list[dict]:
    results = []
    for choices, answer in questions:
        found = [scorer.likelihood(context, continuation) for context, continuation, _ in choices]
        sizes = numpy.array([len(text.encode()) for _, _, text in choices], dtype=float)
        results.append(
            {
                "likelihoods": found,
                "acc": int(numpy.argmax(found) == answer),
                "acc_norm": int(numpy.argmax(numpy.array(found) / sizes) == answer),
            }
        )
    return results


def main() -> None:
    model, data, ours_path, *rest = sys.argv[1:]
    limit = int(rest[0]) if rest else 50
    scorer = Scorer(model)
    ours = {task["task"]: task for task in json.loads(Path(ours_path).read_text())["tasks"]}
    print("task            n  largest difference  acc here/there    acc_norm here/there")
    for name, (folder, read) in TASKS.items():
        if name not in ours:
            continue
        questions = [question for question, _ in zip(read(Path(data) / folder), range(limit))]
        here = score(scorer, questions)
        there = ours[name]["likelihoods"]
        assert len(there) == len(here), f"{name}: {len(there)} questions there, {len(here)} here"
        difference = max(
            abs(a - b) for row, own in zip(here, there) for a, b in zip(row["likelihoods"], own, strict=True)
        )
        acc = sum(row["acc"] for row in here) / len(here)
        norm = sum(row["acc_norm"] for row in here) / len(here)
        scores = ours[name]["scores"]
        their_norm = scores["accNorm"]["value"] if scores["accNorm"] else None
        print(
            f"{name:14s} {len(here):4d}  {difference:18.2e}  {acc:.4f} {scores['acc']['value']:.4f}"
            + (f"     {norm:.4f} {their_norm:.4f}" if their_norm is not None else "")
        )


main()
