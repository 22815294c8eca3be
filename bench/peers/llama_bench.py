#!/usr/bin/env python3
"""
Stands for llama.cpp's own program `llama-bench` where only the wheel `xllamacpp` is there (pip install xllamacpp): takes
the options that `spinquant bench` uses, and prints the same JSON.

    spinquant bench RUN --llama-bench bench/peers/llama_bench.py --gguf MODEL.gguf
    python bench/peers/llama_bench.py -m MODEL.gguf -p 512 -n 0 -t 2 -r 3 -o json

Tokens are the ids from 1000 on, and greedy ones behind them. Nothing of llama.cpp's settings is changed but the number
of threads and the size of the context.
"""

import argparse
import json

import xllamacpp

FIRST_ID = 1000


def parse():
    parser = argparse.ArgumentParser(description="Measures llama.cpp by xllamacpp, as llama-bench does.")
    parser.add_argument("-m", dest="model", required=True)
    parser.add_argument("-p", dest="prompt", type=int, default=512, help="tokens of the prompt; 0: none is measured")
    parser.add_argument("-n", dest="generated", type=int, default=128, help="tokens behind; 0: none are measured")
    parser.add_argument("-d", dest="depth", type=int, default=0, help="tokens before those behind")
    parser.add_argument("-t", dest="threads", type=int, default=2)
    parser.add_argument("-r", dest="repetitions", type=int, default=5)
    parser.add_argument("-o", dest="output", choices=["json"], default="json")
    return parser.parse_args()


def open_server(asked):
    params = xllamacpp.CommonParams()
    params.model.path = asked.model
    # A server keeps some room; its size does not change what a token costs.
    params.n_ctx = max(asked.prompt, asked.depth) + asked.generated + 256
    params.n_parallel = 1
    params.warmup = True
    params.cpuparams.n_threads = asked.threads
    params.cpuparams_batch.n_threads = asked.threads
    return xllamacpp.Server(params)


def timings(server, before, generated):
    """Reads so many tokens and writes so many behind them. Returns what llama.cpp measured of both."""
    answer = server.handle_completions(
        {
            "prompt": list(range(FIRST_ID, FIRST_ID + before)),
            "n_predict": generated,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
    )
    answer = answer if isinstance(answer, dict) else json.loads(answer)
    found = answer["timings"]
    if found["prompt_n"] != before or found["predicted_n"] != generated:
        raise SystemExit(f"{before} and {generated} tokens were asked for, found {found}")
    return found


def test_of(prompt, generated, depth, milliseconds):
    nanoseconds = [round(value * 1e6) for value in milliseconds]
    tokens = prompt + generated
    return {
        "n_prompt": prompt,
        "n_gen": generated,
        "n_depth": depth,
        "samples_ns": nanoseconds,
        "samples_ts": [1e9 * tokens / value for value in nanoseconds],
    }


def main():
    asked = parse()
    server = open_server(asked)
    rounds = range(asked.repetitions)
    tests = []
    if asked.prompt > 0:
        taken = [timings(server, asked.prompt, 1)["prompt_ms"] for _ in rounds]
        tests.append(test_of(asked.prompt, 0, 0, taken))
    if asked.generated > 0:
        # The first token comes with the prompt: one more is written, so that as many are computed as are counted.
        taken = [timings(server, max(asked.depth, 1), asked.generated + 1)["predicted_ms"] for _ in rounds]
        tests.append(test_of(0, asked.generated, asked.depth, taken))
    print(json.dumps(tests))


main()
