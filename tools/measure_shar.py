"""Check that training from Shar shards uses constant memory, from the first utterances to the last.

    python tools/measure_shar.py                        50,000 utterances, some 15 hours of speech
    python tools/measure_shar.py --utterances 5000
    python tools/measure_shar.py --folder shards        keep the shards, or use existing ones

The utterances are the shorter ones of the synthetic digits, each some thirty times with a different id and
level; training adds noise. A separate process writes them, so that its memory does not count. A tiny network
trains on all of them for one epoch. The table has the resident memory per thousand utterances. The exit code
is 1 if a value differs from the first by more than a tenth.
"""

import argparse
import itertools
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

LONGEST = 1.6  # seconds
CONFIG = """
name: tiny
features: {sample_rate: 16000, mels: 32, normalize: bin}
augment: {time_masks: 1, freq_masks: 1, freq_width: 4, noise_probability: 0.5}
tokenizer: {kind: words}
encoder:
  blocks:
    - {filters: 32, layers: 1, stride: 2, residual: false}
    - {filters: 32, layers: 1, stride: 2, residual: false}
    - {filters: 32, layers: 1, stride: 2, residual: false}
prediction: null
joint: null
decoding: {head: ctc}
training:
  ctc_weight: 1.0
  epochs: 1
  batch_utterances: 50
  schedule: one_cycle
  max_lr: 0.005
  warmup_steps: 100
  checkpoint_every: 200
"""


def write(corpus: str, utterances: int, folder: Path, shard_size: int | None = None) -> None:
    """Write ``utterances`` of a corpus' train split, none longer than LONGEST seconds, as Shar shards."""
    from lhotse import CutSet

    from asrlib.data.corpora import load_corpus
    from asrlib.data.shar import write_shar

    draw = random.Random(0)
    short = [cut for cut in load_corpus(corpus, "train") if cut.duration <= LONGEST]
    copies = (
        cut.perturb_volume(draw.uniform(0.2, 1.0)).with_id(f"{number:06d}")
        for number, cut in enumerate(itertools.islice(itertools.cycle(short), utterances))
    )
    write_shar(CutSet.from_cuts(copies), folder, shard_size)


def measure(shards: Path, out: Path, workers: int = 0, progress: bool = False) -> list[tuple[int, float]]:
    """Train one epoch; return, for each step, the utterances so far and the resident memory in MB."""
    from asrlib.config.parse import parse_config
    from asrlib.data.corpora import load_corpus
    from asrlib.training.loop import train
    from asrlib.training.step import TrainingStep

    config = parse_config(CONFIG, "tiny.yml")
    config.training.workers = workers
    samples, perform = [], TrainingStep.__call__

    def watched(self, batch, *rest):
        outcome = perform(self, batch, *rest)
        heard = samples[-1][0] if samples else 0
        samples.append((heard + len(batch.ids), resident()))
        return outcome

    TrainingStep.__call__ = watched
    try:
        train(config, load_corpus(shards, "train"), out, show_progress=progress)
    finally:
        TrainingStep.__call__ = perform
    return samples


def resident() -> float:
    """Return the resident memory of the process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def by_thousand(samples: list[tuple[int, float]], size: int = 1000) -> list[float]:
    """Return the mean memory over the steps that end in each thousand (``size``) utterances."""
    groups = itertools.groupby(samples, key=lambda sample: (sample[0] - 1) // size)
    means = []
    for _, group in groups:
        held = [megabytes for _, megabytes in group]
        means.append(sum(held) / len(held))
    return means


def main() -> int:
    """Print the table; return 1 if memory is not constant."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=50_000)
    parser.add_argument("--corpus", default="digits")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        shards = options.folder or Path(scratch, "shards")
        if not shards.exists():
            started = time.monotonic()
            writer = multiprocessing.get_context("spawn").Process(
                target=write, args=(options.corpus, options.utterances, shards)
            )
            writer.start()
            writer.join()
            if writer.exitcode:
                return writer.exitcode
            print(f"written in {time.monotonic() - started:.0f} s")
        files = [path for path in shards.rglob("*") if path.is_file()]
        tars = [path for path in files if path.suffix == ".tar"]
        print(f"{len(tars)} shards, {sum(path.stat().st_size for path in files) / 1e6:,.0f} MB")
        started, before = time.monotonic(), resident()
        samples = measure(shards, Path(scratch, "out"), options.workers, progress=True)
        print(f"trained in {time.monotonic() - started:.0f} s; {before:,.0f} MB were resident before")
    means = by_thousand(samples)
    print("utterances so far | mean resident MB of the last thousand | change from the first")
    for number, mean in enumerate(means, start=1):
        if number == 1 or number % 5 == 0 or number == len(means):
            heard = min(number * 1000, samples[-1][0])
            print(f"{heard:17,} | {mean:37,.0f} | {mean / means[0] - 1:+12.1%}")
    apart = max(abs(mean / means[0] - 1) for mean in means)
    print(f"largest difference {apart:.1%}; maximum of a step {max(held for _, held in samples):,.0f} MB")
    return int(apart > 0.1)


if __name__ == "__main__":
    sys.exit(main())
