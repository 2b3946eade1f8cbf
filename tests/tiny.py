"""A corpus of tones, each one a word, and a network just large enough to learn it in seconds.

python tests/tiny.py FOLDER        # write such a corpus
"""

import contextlib
import random
import sys
from pathlib import Path

import numpy as np
import soundfile
import yaml

RATE = 8000
TONES = {"low": 400, "mid": 1000, "high": 2200}  # Hz

CONFIG = {
    "name": "tiny",
    "features": {"sample_rate": RATE, "mels": 20, "normalize": "bin", "log_floor": 1e-5},
    "augment": {
        "time_masks": 1,
        "freq_masks": 1,
        "freq_width": 2,
        "speed": [0.95, 1.05],
        "noise_probability": 0.5,
    },
    "tokenizer": {"kind": "words"},
    "encoder": {
        "blocks": [
            {"filters": 24, "layers": 1, "stride": 2, "residual": False},
            {"filters": 24, "layers": 1, "stride": 2, "residual": False},
            {"filters": 24, "layers": 2, "stride": 2},
        ]
    },
    "prediction": {"embed_dim": 8, "units": 16},
    "joint": {"dim": 24},
    "training": {
        "ctc_weight": 0.3,
        "max_steps": 8,
        "batch_seconds": 3,
        "average": 0.9,
        "schedule": "one_cycle",
        "max_lr": 0.01,
        "warmup_steps": 4,
        "evaluate_every": 4,
        "checkpoint_every": 4,
        "log_every": 2,
    },
    "decoding": {"max_symbols": 3},
}


def tones(text: str, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Return float32 samples: a tone of 0.16 s per word, with 0.12 s of faint noise around each."""
    rng = np.random.default_rng(seed)
    pause = np.zeros(int(0.12 * rate))
    parts = [pause]
    for word in text.split():
        time = np.arange(int(0.16 * rate)) / rate
        parts += [0.3 * np.sin(2 * np.pi * TONES[word] * time), pause]
    samples = np.concatenate(parts)
    return (samples + 0.001 * rng.standard_normal(len(samples))).astype(np.float32)


def texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of one to four words each, without repetitions in a row."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        words = [draw.choice(list(TONES))]
        while len(words) < 4 and draw.random() < 0.7:
            words.append(draw.choice([word for word in TONES if word != words[-1]]))
        lines.append(" ".join(words))
    return lines


def write_corpus(folder, train: int = 12, dev: int = 3, test: int = 4):
    """Write a folder with manifest.tsv and WAV files, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path\tspeaker\tseconds\ttext\tsplit"]
    for number, (split, count) in enumerate({"train": train, "dev": dev, "test": test}.items()):
        for index, text in enumerate(texts(count, seed=number)):
            samples = tones(text, seed=100 * number + index)
            soundfile.write(folder / f"{split}-{index}.wav", samples, RATE)
            rows.append(f"{split}-{index}.wav\tspeaker{number}\t{len(samples) / RATE:.3f}\t{text}\t{split}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


def settings(**training) -> dict:
    """Return the configuration as a dictionary, with some keys of ``training`` changed."""
    return CONFIG | {"training": CONFIG["training"] | training}


def config(**training):
    from asrlib.config.parse import parse_config

    return parse_config(yaml.safe_dump(settings(**training)), "tiny.yml")


@contextlib.contextmanager
def one_thread():
    """Use one thread, which is faster for small matrices, above all beside other programs."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


if __name__ == "__main__":
    print(write_corpus(Path(sys.argv[1])))
