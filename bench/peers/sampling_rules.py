"""Probabilities of the next token as transformers makes them of logits, for test/generate/token-choice.test.ts.

    python bench/peers/sampling_rules.py > test/fixtures/sampling.json

transformers itself puts its rules in their order: the model below only lends its method for that.
"""

import json

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

VOCABULARY = 24
RULES = [
    {},
    {"repetition_penalty": 1.3},
    {"temperature": 0.6},
    {"top_k": 5},
    {"top_p": 0.7},
    {"min_p": 0.1},
    {"temperature": 1.7, "top_k": 9},
    {"temperature": 0.5, "top_p": 0.9},
    {"temperature": 0.5, "min_p": 0.2},
    {"repetition_penalty": 1.8, "temperature": 0.7, "top_k": 12, "top_p": 0.8, "min_p": 0.05},
    {"repetition_penalty": 0.7, "temperature": 1.3, "top_k": 6, "top_p": 0.95, "min_p": 0.3},
    {"top_p": 0.01},
    {"min_p": 1.0},
]


def model():
    size = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **size, bos_token_id=0, eos_token_id=1))


def probabilities(lender, rules, before, logits):
    # What is not named is off; transformers' own default for top-k is 50.
    wanted = GenerationConfig(do_sample=True, **{"top_k": 0, **rules}, eos_token_id=1)
    config = lender._prepare_generation_config(wanted)[0]
    lender._prepare_special_tokens(config, device="cpu")
    processors = lender._get_logits_processor(config, input_ids_seq_length=before.shape[1])
    return torch.softmax(processors(before, logits[None].clone()), -1)[0]


def main():
    torch.manual_seed(5)
    lender, cases = model(), []
    for rules in RULES:
        logits = torch.randn(VOCABULARY, dtype=torch.float64).mul(2).float()
        before = torch.randint(0, VOCABULARY, (1, 7))
        found = probabilities(lender, rules, before, logits.double())
        numbers = [float(f"{p:.10g}") for p in found.tolist()]
        cases.append({"rules": rules, "before": before[0].tolist(), "logits": logits.tolist(), "probabilities": numbers})
    print(json.dumps(cases))


main()
