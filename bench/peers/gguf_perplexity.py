#!/usr/bin/env python3
"""
Perplexity of a GGUF file in llama.cpp, whose library comes in the npm package node-llama-cpp, no dependency of ours:

    npm install --ignore-scripts --prefix FOLDER node-llama-cpp@3.21.1 @node-llama-cpp/linux-x64@3.21.1
    python bench/peers/gguf_perplexity.py FOLDER MODEL.gguf IDS.json [TEXT.txt]

IDS.json holds windows of token ids, as bench/peers/evaluation_windows.ts writes them. With a text, the ids that
llama.cpp gives its first 5000 bytes are written out. Needs numpy.
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np

PACKAGE = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"


class Params(ctypes.Structure):
    """Settings of the library, left at their defaults; longer than any, since callers pass them on the stack."""

    _fields_ = [("words", ctypes.c_uint32 * 256)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def function(library, name, result, *arguments):
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


class Model:
    def __init__(self, folder, path):
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        binaries = Path(folder).resolve() / PACKAGE
        load = lambda name: ctypes.CDLL(str(next(binaries.glob(f"lib{name}.v*.so"))), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(binaries / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
        function(load("ggml"), "ggml_backend_load_all_from_path", None, text)(str(binaries).encode())
        self.llama = llama = load("llama")
        function(llama, "llama_backend_init", None)()
        params = function(llama, "llama_model_default_params", Params)()
        self.model = function(llama, "llama_model_load_from_file", pointer, text, Params)(str(path).encode(), params)
        assert self.model, f"{path} was not loaded"
        self.vocabulary = function(llama, "llama_model_get_vocab", pointer, pointer)(self.model)
        self.tokens = function(llama, "llama_vocab_n_tokens", ctypes.c_int32, pointer)(self.vocabulary)

    def ids(self, text):
        found = (ctypes.c_int32 * len(text))()
        tokenize = function(
            *(self.llama, "llama_tokenize", ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32),
            *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_bool),
        )
        return found[: tokenize(self.vocabulary, text, len(text), found, len(found), False, False)]

    def open_context(self, length):
        pointer = ctypes.c_void_p
        params = function(self.llama, "llama_context_default_params", Params)()
        # n_ctx, n_batch, n_ubatch: a window is read at once.
        assert list(params.words[:3]) == [512, 2048, 512], "the settings have another order in this version"
        params.words[0] = params.words[1] = max(length, 512)
        self.context = function(self.llama, "llama_init_from_model", pointer, pointer, Params)(self.model, params)
        function(self.llama, "llama_set_n_threads", None, pointer, ctypes.c_int32, ctypes.c_int32)(self.context, 2, 2)

    def logits(self, ids):
        """[S, V] of a text that nothing stands before."""
        llama, pointer = self.llama, ctypes.c_void_p
        memory = function(llama, "llama_get_memory", pointer, pointer)(self.context)
        function(llama, "llama_memory_clear", None, pointer, ctypes.c_bool)(memory, True)
        batch = function(llama, "llama_batch_init", Batch, *[ctypes.c_int32] * 3)(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        failed = function(llama, "llama_decode", ctypes.c_int32, pointer, Batch)(self.context, batch)
        assert failed == 0, f"llama_decode gave {failed}"
        found = function(llama, "llama_get_logits", ctypes.POINTER(ctypes.c_float), pointer)(self.context)
        return np.ctypeslib.as_array(found, (len(ids), self.tokens))


def losses(logits, ids):
    scores = logits[:-1].astype(np.float64)
    highest = scores.max(axis=1)
    total = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
    return total - scores[np.arange(len(ids) - 1), ids[1:]]


def main(folder, path, windows_file, text_file=None):
    model = Model(folder, path)
    if text_file is not None:
        print(json.dumps(model.ids(Path(text_file).read_bytes()[:5000])))
    windows = json.loads(Path(windows_file).read_text())["windows"]
    model.open_context(len(windows[0]))
    found = [losses(model.logits(ids), ids) for ids in windows]
    for count in sorted({1, len(found) // 2, len(found)} - {0}):
        part = np.concatenate(found[:count])
        print(f"perplexity {np.exp(part.mean())} over {part.size} tokens")


main(*sys.argv[1:])
