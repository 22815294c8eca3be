"""Greedy tokens of `spinquant generate` at full precision beside those of transformers, prompt by prompt.

    npm run build
    python bench/peers/compare_greedy.py MODEL [TOKENS]

Where the tokens part, the two logits of transformers tell whether it was a tie: neither sum of float32 products is
nearer to the exact one then.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CLI = Path(__file__).parents[2] / "dist" / "cli.js"
PROMPTS = [
    "Once upon a time",
    "The capital of France is",
    "def fibonacci(n):",
    "Water boils at a temperature of",
    "In 1969, the first",
    "The three laws of motion are",
    "A recipe for pancakes:\n",
    "Dear Sir or Madam,",
    "Der schnelle braune Fuchs",
    "1, 1, 2, 3, 5, 8,",
]


def ours(model, prompt, tokens):
    command = ["node", str(CLI), "generate", model, "--prompt", prompt]
    command += ["--tokens", str(tokens), "--temperature", "0", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def theirs(network, prompt, ids):
    """The most likely token of transformers behind the prompt and behind each of these, and its logits.

    Where all of them are the tokens themselves, these are what it writes greedily; one pass shows it.
    """
    with torch.no_grad():
        logits = network(torch.cat([prompt, torch.tensor(ids)])[None]).logits[0, len(prompt) - 1 : -1]
    return logits.argmax(-1).tolist(), logits


def main():
    model, tokens = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    equal = 0
    for prompt in PROMPTS:
        found = ours(model, prompt, tokens)
        inputs = tokenizer(prompt, return_tensors="pt")
        assert inputs.input_ids[0].tolist() == found["promptIds"], prompt
        ids, logits = theirs(network, inputs.input_ids[0], found["ids"])
        parts = next((i for i, (a, b) in enumerate(zip(ids, found["ids"])) if a != b), None)
        if parts is None:
            equal += 1
            text = tokenizer.decode(ids, skip_special_tokens=True)
            same = "the same text" if text == found["text"] else "another text"
            rate = found["tokensPerSecond"]["decode"]
            print(f"{prompt!r}: {len(ids)} tokens equal, {same}, {rate:.1f} tokens/s", flush=True)
            continue
        there, here = logits[parts, ids[parts]].item(), logits[parts, found["ids"][parts]].item()
        print(f"{prompt!r}: part at token {parts}: {there:.6f} there beside {here:.6f}", flush=True)
    print(f"{equal} of {len(PROMPTS)} prompts have the same {tokens} tokens")


main()
