"""Damaged files of each kind that people write by hand: an answer or one line, and never a traceback.

`make fuzz` tries more of them, and other ones each time; here they are always the same.
"""

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_config import TINY

from asrlib.config.parse import override, parse_config
from asrlib.config.schema import Config
from asrlib.data.manifest import read_manifest
from asrlib.errors import InputError
from asrlib.reading import parse_yaml
from asrlib.text.ngram import load_arpa
from asrlib.text.tokenizer_files import load_tokenizer, read_tokenizer
from asrlib.text.tokenizers import train_tokenizer

CAMPAIGN = os.environ.get("FUZZ_EXAMPLES")
LABELS = ["a", "b", " "]

# what files of all kinds are made of, and what is hard to read
PIECES = [
    "", "\t", "\n", "\r\n", "\r", " ", "  ", "\0", "\x85", "\u2028", "\ufeff", "é", "你好", "\U0001f600",
    "\\", '"', "'", "-", "--", "- ", ":", ": ", "#", "{", "}", "[", "]", "[" * 400, "{a: " * 200, ",",
    "&a ", "*a", "<<: *a", "!!int ", "!!python/object:os.system ", "| ", "> ", "? ", "%", "@", "`",
    "null", "~", "true", "no", "0", "-1", "1.5", "1e9", "1e999", ".inf", ".nan", "nan", "inf", "NaN",
    "Infinity", "9" * 30, "9" * 5000, "0x1F", "2023-13-45", "1:61", "text", "path", "split", "speaker",
    "dev", "../a.wav", "/", "kind", "labels", "normalize", "words", "wordpieces", "<unk>", "<s>", "</s>",
    "-99", "0.5", "\\data\\", "\\1-grams:", "\\2-grams:", "\\9-grams:", "\\end\\", "ngram 1=9",
    "features", "encoder", "training", "{mels: 3}", "[[1, 2], [3]]", "{{ a }}",
    "{% for i in range(9) %}", "{% endfor %}", "model_config: {encoder_blocks: [{filters: 8}]}",
    "kind: conformer", "blocks: [{filters: 8}]",
]  # fmt: skip


def tries(usual):
    """The settings of a test that tries ``usual`` examples, or as many as the campaign asks for."""
    return settings(
        max_examples=int(CAMPAIGN) if CAMPAIGN else usual,
        derandomize=not CAMPAIGN,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def damaged(draw, *originals):
    """A file's text with some of its parts cut out, repeated, replaced, or something else put in."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 20, 100]))
        piece = draw(st.sampled_from(PIECES) | st.text(max_size=5))
        if draw(st.booleans()):
            piece += text[start : start + length]
        text = text[:start] + piece + text[start + length :]
    return text


def answers(call, *arguments):
    """Call a reader, which may answer or raise InputError with one line of some length."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*arguments)
    except InputError as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 2000, message[:3000]
        return None


def encoded(text):
    return text.encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


MANIFEST = (
    "path\tspeaker\tseconds\ttext\tsplit\na.wav\tme\t1.0\tone two\ttrain\nb.wav\tyou\t2.0\tthree\ttest\n"
)


@tries(300)
@given(text=damaged(MANIFEST, "path\ttext\na.wav\tone\n./b.wav\ttwo\n"))
def test_manifests(folder, text):
    (folder / "manifest.tsv").write_bytes(encoded(text))
    rows = answers(read_manifest, folder / "manifest.tsv")
    for row in rows or ():
        assert row.path.strip() and row.text.strip() and row.split and "\0" not in row.path


SMALL = yaml.safe_dump(yaml.safe_load(TINY))
THEIRS = (
    "model_config: {name: x, encoder_blocks: [{nlayers: 1, filters: 8}]}\nspeech_config: {stride_ms: 10}\n"
)


@tries(400)
@given(text=damaged(TINY, SMALL, "a: &a [1, 2]\nb: *a\n", "a: {b: {<<: {c: 1}, d: 2}}\n"))
def test_yaml(text):
    answers(parse_yaml, text, "f.yml")


@tries(50)
@given(text=damaged(TINY, SMALL, THEIRS, "{% set a = 8 %}features: {mels: {{ a }}}\n"))
def test_configurations(text):
    config = answers(parse_config, text, "f.yml")
    assert config is None or isinstance(config, Config)


KEYS = ["features.mels", "encoder.blocks", "augment.speed", "name", "x.y"]


@tries(20)
@given(key=st.sampled_from(KEYS), value=damaged("[1, 2]"))
def test_overrides(key, value):
    answers(override, parse_config(TINY, "f.yml"), [f"{key}={value}"])


TOKENIZERS = [
    json.dumps({"kind": kind, "normalize": True, "labels": ["a", "b", " ", "é"]}, ensure_ascii=False)
    for kind in ("characters", "words", "phones")
] + ['{"kind": "wordpieces", "normalize": false}']


@tries(300)
@given(text=damaged(*TOKENIZERS), lexicon=st.none() | damaged("one\tW AH N\ntwo\tT UW\n"))
def test_tokenizer_files(folder, text, lexicon):
    shutil.rmtree(folder / "model", ignore_errors=True)
    (folder / "model").mkdir()
    (folder / "model" / "tokenizer.json").write_bytes(encoded(text))
    (folder / "model" / "tokenizer.model").write_bytes(b"\x08\x01" + encoded(text)[:50])
    if lexicon is not None:
        (folder / "model" / "lexicon.tsv").write_bytes(encoded(lexicon))
    tokenizer = answers(load_tokenizer, folder / "model")
    if tokenizer is not None:
        answers(tokenizer.encode, "a b")
        assert tokenizer.vocabulary == len(tokenizer.labels) + 1
    (folder / "labels.txt").write_bytes(encoded(text))
    for kind in ("characters", "words", "phones"):
        answers(read_tokenizer, kind, folder / "labels.txt")


PIECES_MODEL = {}


@tries(60)
@given(cut=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 50))
def test_sentencepiece_models(folder, cut, byte, length):
    if not PIECES_MODEL:
        train_tokenizer("wordpieces", ["one two three", "two three one"], 13).save(folder)
        PIECES_MODEL["content"] = (folder / "tokenizer.model").read_bytes()
    content = PIECES_MODEL["content"]
    cut %= len(content)
    (folder / "tokenizer.model").write_bytes(content[:cut] + bytes([byte]) * length + content[cut + length :])
    tokenizer = answers(load_tokenizer, folder)
    if tokenizer is not None:
        answers(tokenizer.encode, "one two")


ARPA = (
    "\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-1 </s>\n-99 <s>\n-1 a -0.2\n-1 b\n-2 <unk> -0.5\n\n"
    "\\2-grams:\n-0.1 <unk> a\n-0.3 a <unk>\n\n\\end\\\n"
)


@tries(400)
@given(text=damaged(ARPA))
def test_language_models(folder, text):
    (folder / "lm.arpa").write_bytes(encoded(text))
    model = answers(load_arpa, folder / "lm.arpa", LABELS)
    if model is not None:
        state = model.start()
        for label in (1, 2, 3, 1):
            scores = model.scores(state)
            assert scores.isfinite().all()
            state = model.advance(state, label)
