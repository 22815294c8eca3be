"""Makes test/goldens/tokenizers.json: small tokenizers of every kind, odd texts, and their ids by the Rust library.

Run by hand: python scripts/goldens/make_tokenizers.py (package tokenizers; its version stands in the file).
Neither the build nor the tests need it. The file holds
  texts    odd texts: white space of all kinds, combining marks, control characters, emoji, many scripts
  models   the "model" part of a tokenizer.json, by name
  cases    name, model, normalizer, pre_tokenizer, added_tokens, and the ids of each text
"""

import json
import pathlib
import random

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "tokenizers.json"
CORPUS = [
    "the cat sat on the mat and the dog ran to the cat",
    "that is what the other thing there then thought",
    "Привет мир, как дела? привет, мир",
    "名前はまだ無い 名前は無い 猫である",
    "1234 5678 90 12 we'll we've it's I'm",
] * 20
TEXTS = [
    "", " ", "the cat", "  the  cat ", "The CAT sat, didn't it? we'LL we'ſ", "a\u0085b \u0085 c", "\ufeffthe \ufeff cat",
    "\u00a0the\u2003cat\u3000\u200bmat\u1680", "line\r\nline\n\n\tthe", "名前は、まだ無い。中文", "ΟΔΥΣΣΕΥΣ Σ İ ß ǅ",
    "e\u0301é e\u0327\u0301 각 \u1100\u1161\u11a8", "😀👩\u200d👧🇩🇪👍🏽\ufe0f", "x² ½ ③ Ⅷ ١٢٣ 1234567", "\0\x01\x07\x1b\x7f\x9f",
    "<s>the</s> <pad>Hello <pad>\tHelloHello caté", "ﬁ ﬃ Ａ１", "$& a|b (c) [d] {e} ^f$ \\g",
    "▁the▁▁cat ▁", "мир猫мир zz猫猫zz", "   \n   the", "<unk><0x41>", "\ufffd\u2028\u2029\u2581", "tttthhhheeee" * 3,
]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
# SentencePiece compiled it from rules of our own: A -> a, e + U+0301 -> é, fullwidth A -> a, U+200B -> nothing, ① -> 1.
CHARSMAP = "AAQAAAAAAQBBDQAABAAAgMwYAgCBBQAABgAAgIAoAgCLPQAAAAAAgKANAAABAACAvJgCAKE5AAAMAAAADwAAAA4AAAARAAAAEAAAABMAAAASAAAAFQAAABQAAAAXAAAAkfgCABkAAAAYAAAAGwAAABoAAAAdAAAAHAAAAB8AAAAeAAAAIQAAACAAAAAjAAAAIgAAACUAAABlqAMAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAAwAAAAMwAAADIAAAA1AAAANAAAADcAAAA2AAAAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAASwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGcAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABsAAAAbwAAAG4AAABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACDAAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAOKQAACiAAAApQAAAKQAAACnAAAApgAAAKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAADvYAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADLAAAAygAAAM0AAADMAAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAOYAAADpAAAA6AAAAOsAAADqAAAA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAMS4AYQDDqQA="


def train(model, trainer, pre_tokenizer, **settings):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return {**json.loads(tokenizer.to_str())["model"], **settings}


def with_bytes(model, left_out=()):
    """Adds the 256 byte pieces."""
    pieces = [f"<0x{byte:02X}>" for byte in range(256) if byte not in left_out]
    if model["type"] == "Unigram":
        vocab = model["vocab"] + [[piece, 0.0] for piece in pieces]
    else:
        vocab = model["vocab"] | {piece: len(model["vocab"]) + i for i, piece in enumerate(pieces)}
    return {**model, "vocab": vocab, "byte_fallback": True}


def make_models():
    special = ["<unk>", "<s>", "</s>"]
    bpe = train(models.BPE(unk_token="<unk>"), trainers.BpeTrainer(
        vocab_size=120, special_tokens=special, show_progress=False), pre_tokenizers.Metaspace())
    unigram = train(models.Unigram(), trainers.UnigramTrainer(
        vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False), pre_tokenizers.Metaspace())
    words = pre_tokenizers.Whitespace()
    return {
        "byte-level": train(models.BPE(), trainers.BpeTrainer(
            vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "bpe": bpe,
        "bpe, unknowns fused": {**bpe, "fuse_unk": True},
        "bpe, bytes": with_bytes({**bpe, "fuse_unk": True}),
        "bpe, some bytes": with_bytes(bpe, range(0xE4, 0xE8)),
        "unigram": unigram,
        "unigram, bytes": with_bytes(unigram),
        "unigram, some bytes": with_bytes(unigram, range(0xE4, 0xE8)),
        "word pieces": train(models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(
            vocab_size=100, special_tokens=special, show_progress=False), words),
        "words": train(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(
            vocab_size=50, special_tokens=special, show_progress=False), words),
    }


def added(content, **settings):
    return dict(id=0, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                special=True) | settings


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*parts):
    key = "normalizers" if parts[0]["type"] in ("NFKC", "Prepend", "Strip", "Nmt") else "pretokenizers"
    return {"type": "Sequence", key: list(parts)}


def make_cases():
    """(name, model, normalizer, pre-tokenizer, added tokens)"""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    llama = sequence({"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"})
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    raw = {**byte_level, "use_regex": False}
    specials = [added("<s>"), added("</s>"), added("<pad>")]
    yield "GPT-2", "byte-level", None, byte_level, specials
    yield "GPT-2 with a space in front", "byte-level", None, {**byte_level, "add_prefix_space": True}, []
    yield "LLaMA 3", "byte-level", None, sequence(split({"Regex": LLAMA3}), raw), specials
    for name in ("bpe", "bpe, unknowns fused", "bpe, bytes", "bpe, some bytes"):
        yield f"LLaMA 2: {name}", name, llama, None, specials
    for name in ("unigram", "unigram, bytes", "unigram, some bytes"):
        yield f"SentencePiece: {name}", name, None, metaspace, specials
        yield f"one long word: {name}", name, llama, None, []
    yield "Metaspace, first", "bpe, bytes", None, {**metaspace, "prepend_scheme": "first", "split": False}, specials
    yield "Metaspace, first, stripped", "unigram", {"type": "Strip", "strip_left": True, "strip_right": False}, {
        **metaspace, "prepend_scheme": "first"}, specials
    yield "charsmap", "unigram, bytes", {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}, metaspace, []
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"):
        yield form, "unigram, bytes", {"type": form}, metaspace, []
    yield "Strip", "bpe, bytes", {"type": "Strip", "strip_left": True, "strip_right": True}, None, []
    yield "Replace", "bpe, bytes", {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": "$&"}, None, []
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield f"Split, {behavior}", "words", None, split({"Regex": r"\s|the"}, behavior), []
        yield f"Split inverted, {behavior}", "words", None, split({"String": "t"}, behavior, True), []
        yield f"Punctuation, {behavior}", "word pieces", None, {"type": "Punctuation", "behavior": behavior}, []
    for kind in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        yield kind, "word pieces", None, {"type": kind}, []
    yield "Digits", "words", None, {"type": "Digits", "individual_digits": True}, []
    yield "Digits together", "words", None, {"type": "Digits", "individual_digits": False}, []
    yield "FixedLength", "words", None, {"type": "FixedLength", "length": 3}, []
    yield "CharDelimiterSplit", "words", None, {"type": "CharDelimiterSplit", "delimiter": " "}, []
    for settings in ({"single_word": True}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
                     {"normalized": True, "special": False}):
        tokens = [added(content, **settings) for content in ("Hello", "<pad>", "the", "É")]
        yield f"added tokens: {', '.join(settings)}", "bpe, bytes", {"type": "Lowercase"}, metaspace, tokens


def main():
    random.seed(0)
    known = make_models()
    cases = []
    for name, model, normalizer, pre_tokenizer, tokens in make_cases():
        tokens = [dict(token) for token in tokens]
        parts = {"added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
        tokenizer = Tokenizer.from_str(json.dumps({
            "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": None,
            "model": known[model], **parts}))
        for token in tokens:
            token["id"] = tokenizer.token_to_id(token["content"])
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        cases.append({"name": name, "model": model, **parts, "ids": ids})
    result = {"library": f"tokenizers {tokenizers.__version__}", "texts": TEXTS, "models": known, "cases": cases}
    OUT.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(len(cases), "cases,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
