"""``asrlib bench``: compare speed and memory, and whole recordings with their utterances, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrlib.commands.options import CorpusOption, SplitOption

DeviceOption = Annotated[str | None, typer.Option(help="cpu or cuda (default: a GPU if there is one).")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Use toy sizes, to check that everything runs.")]


def losses(
    repeats: Annotated[int, typer.Option(help="Runs per implementation; the table has medians.")] = 5,
    device: DeviceOption = None,
    quick: QuickOption = False,
) -> None:
    """Compare CTC and RNN-T losses with those of torchaudio, warprnnt_numba and PyTorch."""
    from asrlib.bench.losses import bench_losses

    bench_losses(repeats=repeats, device=device, quick=quick)


def train(
    config: Annotated[str, typer.Option(help="A shipped configuration, or a file.")] = "contextnet-s",
    repeats: Annotated[int, typer.Option(min=1, help="Steps per implementation; the table has medians.")] = 8,
    device: DeviceOption = None,
    quick: QuickOption = False,
) -> None:
    """Compare the parts of a training step with a plain implementation of the same network."""
    from asrlib.bench.train import bench_train

    bench_train(config, repeats=repeats, device=device, quick=quick)


def decode(
    repeats: Annotated[int, typer.Option(help="Runs per implementation; the table has medians.")] = 3,
    quick: QuickOption = False,
) -> None:
    """Compare greedy and beam search with torchaudio's, on the same encoder output."""
    from asrlib.bench.decode import bench_decode

    bench_decode(repeats=repeats, quick=quick)


def chapters(
    model_dir: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: CorpusOption,
    split: SplitOption = "test",
    window: Annotated[float, typer.Option(help="Window in seconds.")] = 20.0,
) -> None:
    """Compare the word errors of whole chapters with those of their utterances one by one."""
    from asrlib.bench.chapters import bench_chapters
    from asrlib.data.corpora import load_corpora
    from asrlib.recognizer import Recognizer

    recognizer = Recognizer.load(model_dir)
    bench_chapters(recognizer, load_corpora(corpus, None if split == "all" else split), window)


def playgrounds(
    moves: Annotated[int, typer.Option(min=1, help="Moves of the pointer; the table has medians.")] = 100,
) -> None:
    """Measure how soon the lessons' playgrounds follow the mouse, in a chromium without a window."""
    import torch

    from asrlib.bench.playgrounds import bench_playgrounds
    from asrlib.data.corpora import clips
    from asrlib.recognizer import Recognizer
    from asrlib.teaching.playgrounds import ctc_options, page, spectrogram_options, transducer_options

    [clip] = [cut for cut in clips() if cut.id == "audio/digits-3.flac"]
    sound = torch.from_numpy(clip.audio), clip.sampling_rate
    recognizer = Recognizer.load("lessons-model")
    options = {
        "ctc": ctc_options(target="ab"),
        "transducer": transducer_options(recognizer, *sound, clip.text, clip.words),
        "spectrogram": spectrogram_options(*sound),
    }
    bench_playgrounds(lambda name, script: page(name, options[name], script=script), moves)
