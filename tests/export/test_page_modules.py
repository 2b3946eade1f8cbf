"""What the page computes beside the graph agrees with asrlib: resampling, and labels as text."""

import json
import random
import shutil
import subprocess

import numpy as np
import pytest
import torch
from soundfiles import speechlike

from asrlib.export.web import writing_of
from asrlib.files import package_folder
from asrlib.model_directory import shipped_model
from asrlib.signal.resample import resample
from asrlib.text.tokenizer_files import load_tokenizer
from asrlib.text.tokenizers import train_tokenizer

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="needs node")
PAGE = package_folder("asrlib") / "export" / "page"


def computed(names, module, script, given, folder):
    """Return what a script makes of ``given``; it gets the ``names`` of a module of the page."""
    program, data = folder / "program.mjs", folder / "given.json"
    data.write_text(json.dumps(given))
    program.write_text(
        'import { readFileSync } from "node:fs";\n'
        f'import {{ {names} }} from "{(PAGE / module).as_uri()}";\n'
        f"const given = JSON.parse(readFileSync({json.dumps(str(data))}));\n"
        f"console.log(JSON.stringify((() => {{ {script} }})()));\n"
    )
    done = subprocess.run([NODE, str(program)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "rate, new_rate",
    [
        (44100, 8000),
        (48000, 8000),
        (48000, 16000),
        (44100, 16000),
        (8000, 16000),
        (44101, 16000),
        (16000, 16000),
    ],
)
def test_samples_are_resampled_as_in_python_chunk_by_chunk(rate, new_rate, tmp_path):
    """The same kernel, computed with 64 bits in the page and with 32 in Python."""
    samples = speechlike(0.3, rate).astype(np.float32)
    script = """
        const whole = new Resampler(...given.rates), cut = new Resampler(...given.rates), out = [[], []];
        const samples = Float32Array.from(given.samples);
        out[0].push(...whole.feed(samples), ...whole.finish());
        for (let at = 0, n = 0; at < samples.length; at += given.sizes[n++ % 4]) {
          out[1].push(...cut.feed(samples.slice(at, at + given.sizes[n % 4])));
        }
        out[1].push(...cut.finish());
        return out;
    """
    given = {"rates": [rate, new_rate], "samples": samples.tolist(), "sizes": [1, 128, 2048, 37]}
    whole, cut = computed("Resampler", "resample.mjs", script, given, tmp_path)
    expected = resample(torch.from_numpy(samples), rate, new_rate).numpy()
    assert cut == whole and len(whole) == len(expected)
    assert np.abs(np.array(whole) - expected).max() < 1e-5


@pytest.mark.parametrize("name", ["digits-model", "commands-model", "pieces"])
def test_labels_become_the_text_that_the_tokenizer_writes(name, tmp_path):
    texts = ["the cat sat on the mat", "a dog and a cat", "don't sit there", "the dog sat"]
    pieces = name == "pieces"
    tokenizer = train_tokenizer("wordpieces", texts, 24) if pieces else load_tokenizer(shipped_model(name))
    draw = random.Random(1)
    lines = [[draw.randrange(1, tokenizer.vocabulary) for _ in range(n % 8)] for n in range(100)]
    script = "return given.lines.map((labels) => written(labels, given.writing));"
    given = {"lines": lines, "writing": writing_of(tokenizer)}
    assert computed("written", "text.mjs", script, given, tmp_path) == [
        tokenizer.decode(line) for line in lines
    ]
